// out[p, tap, c] = image[place(p, tap), c], zero outside: what lies under the taps of a pixel, side by side in a row.

const SPREAD_Y = 1u; // the image's rows stand this far apart, with zeros between
const SPREAD_X = 1u;
const WORKGROUP = 64u;
struct Placing { taps: vec2<u32>, size: vec2<u32>, image_size: vec2<u32>, scale: vec2<i32>, shift: vec2<i32>, step: vec2<i32>, image_offset: u32, image_strides: vec3<u32> }

struct Params {
  quads: u32, // of all rows
  row: u32, // quads of one, the last filled up with zeros
  c: u32,
  placing: Placing, // place = (p · scale + shift + tap · step) / SPREAD
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

/** Element k of the row of a pixel whose image begins at `base` and whose first tap falls on `corner`. */
fn under(base: u32, corner: vec2<i32>, k: u32) -> f32 {
  let tap = k / params.c;
  let spread = vec2<i32>(vec2<u32>(SPREAD_Y, SPREAD_X));
  let place = corner + vec2<i32>(vec2<u32>(tap / params.placing.taps.y, tap % params.placing.taps.y)) * params.placing.step;
  let at = vec2<u32>(place / spread);
  if (tap >= params.placing.taps.x * params.placing.taps.y || any(place < vec2<i32>(0))) {
    return 0.0;
  }
  if (any(place % spread != vec2<i32>(0)) || any(at >= params.placing.image_size)) {
    return 0.0;
  }
  return image[base + at.x * params.placing.image_strides.y + at.y * params.placing.image_strides.z + k % params.c];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.quads) { return; }
  let p = i / params.row;
  let k = i % params.row * 4u;
  let pixel = vec2<u32>(p / params.placing.size.y % params.placing.size.x, p % params.placing.size.y);
  let base = params.placing.image_offset + p / params.placing.size.y / params.placing.size.x * params.placing.image_strides.x;
  let corner = vec2<i32>(pixel) * params.placing.scale + params.placing.shift;
  out[i] = vec4<f32>(
    under(base, corner, k),
    under(base, corner, k + 1u),
    under(base, corner, k + 2u),
    under(base, corner, k + 3u),
  );
}
