// out[tap, m, n] = Σ_p image[place(p, tap), m] · g[p, n], the image being zero outside: 4 × 4 outputs a thread.

alias Image = vec4<f32>;
alias Gradient = vec4<f32>;
alias Out = vec4<f32>;
const WORKGROUP = 64u;
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn g4(i: u32) -> vec4<f32> { return g[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }

struct Params {
  groups: u32,
  m: u32, // channels of the image and of g, in one group
  n: u32,
  batch: u32,
  taps: vec2<u32>,
  size: vec2<u32>, // height and width of g
  image_size: vec2<u32>,
  scale: vec2<i32>, // place = pixel of g · scale + shift + tap · step
  shift: vec2<i32>,
  step: vec2<i32>,
  image_offset: u32,
  image_strides: vec3<u32>, // of batch, rows and columns
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Image>;
@group(0) @binding(2) var<storage, read> g: array<Gradient>;
@group(0) @binding(3) var<storage, read_write> out: array<Out>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quads = (vec2<u32>(params.m, params.n) + 3u) / 4u;
  let thread = id.x + id.y * groups.x * WORKGROUP;
  let group = thread / quads.y % params.groups;
  let m = thread / quads.y / params.groups % quads.x * 4u;
  let n = thread % quads.y * 4u;
  let tap = thread / quads.y / params.groups / quads.x;
  if (tap >= params.taps.x * params.taps.y) {
    return;
  }
  let channels = params.groups * params.n;
  let corner = params.shift + vec2<i32>(vec2<u32>(tap / params.taps.y, tap % params.taps.y)) * params.step;
  let base = params.image_offset + group * params.m + m;

  var total = mat4x4<f32>(); // [m][n]
  for (var image_at = 0u; image_at < params.batch; image_at++) {
    for (var y = 0u; y < params.size.x; y++) {
      let row = i32(y) * params.scale.x + corner.x;
      if (row < 0 || row >= i32(params.image_size.x)) {
        continue;
      }
      let line = base + image_at * params.image_strides.x + u32(row) * params.image_strides.y;
      for (var x = 0u; x < params.size.y; x++) {
        let column = i32(x) * params.scale.y + corner.y;
        if (column < 0 || column >= i32(params.image_size.y)) {
          continue;
        }
        let u = image4(line + u32(column) * params.image_strides.z);
        let v = g4(((image_at * params.size.x + y) * params.size.y + x) * channels + group * params.n + n);
        total += mat4x4<f32>(u.x * v, u.y * v, u.z * v, u.w * v);
      }
    }
  }

  let at = (tap * params.m + m) * channels + group * params.n + n;
  let count = params.n - n;
  write(at, total[0], count);
  if (m + 1u < params.m) { write(at + channels, total[1], count); }
  if (m + 2u < params.m) { write(at + 2u * channels, total[2], count); }
  if (m + 3u < params.m) { write(at + 3u * channels, total[3], count); }
}
