// out[b, y, x, c] = weight · Σ_{i, j} input[b, stride · y + i − padding, stride · x + j − padding, c] over a window, zero outside.

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
  let place = vec2<i32>((pixel / params.out.y) % params.out.x, pixel % params.out.y);
  let first = place * params.stride - params.padding;
  let start = max(first, vec2<i32>());
  let end = min(first + params.window, params.input);
  var total = Vector();
  for (var y = start.x; y < end.x; y++) {
    for (var x = start.y; x < end.y; x++) {
      total += input[u32((b * params.input.x + y) * params.input.y + x) * params.channels + at % params.channels];
    }
  }
  out[at] = total * params.weight;
}
