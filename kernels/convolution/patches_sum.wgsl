// out[p, c] = Σ_tap parts[place(p, tap), tap, c] + bias[p, c], nothing outside: adds up what the taps leave at a pixel.

const SPREAD_Y = 1u; // the rows of parts stand this far apart, with nothing between
const SPREAD_X = 1u;
const HAS_BIAS = false;
const WORKGROUP = 64u;

struct Params {
  size: vec2<u32>, // height and width of the result
  image_size: vec2<u32>, // and of parts
  elements: u32, // of the result
  c: u32,
  taps: vec2<u32>,
  scale: vec2<i32>, // place = (p · scale + shift + tap · step) / SPREAD
  shift: vec2<i32>,
  step: vec2<i32>,
  bias_offset: u32,
  bias_strides: vec3<u32>, // of batch, rows and columns
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.elements) { return; }
  let p = i / params.c;
  let c = i % params.c;
  let pixel = vec3<u32>(p / params.size.y / params.size.x, p / params.size.y % params.size.x, p % params.size.y);
  let spread = vec2<i32>(vec2<u32>(SPREAD_Y, SPREAD_X));

  var total = 0.0;
  for (var tap = 0u; tap < params.taps.x * params.taps.y; tap++) {
    let under = vec2<i32>(vec2<u32>(tap / params.taps.y, tap % params.taps.y));
    let place = vec2<i32>(pixel.yz) * params.scale + params.shift + under * params.step;
    let at = vec2<u32>(place / spread);
    if (all(place >= vec2<i32>(0)) && all(place % spread == vec2<i32>(0)) && all(at < params.image_size)) {
      let source = (pixel.x * params.image_size.x + at.x) * params.image_size.y + at.y;
      total += parts[(source * params.taps.x * params.taps.y + tap) * params.c + c];
    }
  }
  if (HAS_BIAS) { total += bias[params.bias_offset + dot(pixel, params.bias_strides) + c]; }
  out[i] = total;
}
