// out[b, y, x, c] = weight · Σ of input[b, p, q, c] over the windows (p, q) that cover (y, x): the transpose of window_sum.

alias Vector = vec4<f32>; // channels side by side; f32 where four do not divide them
const WORKGROUP = 64u;

struct Params {
  size: u32, // of out, in vectors
  channels: u32, // in vectors
  weight: f32,
  input: vec2<i32>, // height, width
  out: vec2<i32>,
  window: vec2<i32>,
  stride: vec2<i32>,
  padding: vec2<i32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Vector>;
@group(0) @binding(2) var<storage, read_write> out: array<Vector>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) {
    return;
  }
  let pixel = i32(at / params.channels);
  let b = pixel / (params.out.x * params.out.y);
  let place = vec2<i32>((pixel / params.out.y) % params.out.x, pixel % params.out.y) + params.padding;
  // Windows start at p · stride and cover place from p · stride = place − window + 1 on; the numerator stays positive.
  let start = max(place - params.window + params.stride, vec2<i32>()) / params.stride;
  let end = min(place / params.stride + 1, params.input);
  var total = Vector();
  for (var p = start.x; p < end.x; p++) {
    for (var q = start.y; q < end.y; q++) {
      total += input[u32((b * params.input.x + p) * params.input.y + q) * params.channels + at % params.channels];
    }
  }
  out[at] = total * params.weight;
}
