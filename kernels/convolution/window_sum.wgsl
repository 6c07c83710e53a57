// out[b, y, x, c] = weight · Σ_{p, q} input[b, p, q, c], zero outside: over a window's pixels (p, q), or over the windows that cover
// the pixel (y, x), which is the transpose.

alias Vector = vec4<f32>; // channels side by side; f32 where four do not divide them
const IS_TRANSPOSED = false;
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
  if (at >= params.size) { return; }
  let pixel = i32(at / params.channels);
  let b = pixel / (params.out.x * params.out.y);
  let place = vec2<i32>((pixel / params.out.y) % params.out.x, pixel % params.out.y);
  var start = max(place * params.stride - params.padding, vec2<i32>());
  var end = min(place * params.stride - params.padding + params.window, params.input);
  if (IS_TRANSPOSED) {
    // Windows start at p · stride and cover a place from p · stride = place − window + 1 on; the numerator stays positive.
    let padded = place + params.padding;
    start = max(padded - params.window + params.stride, vec2<i32>()) / params.stride;
    end = min(padded / params.stride + 1, params.input);
  }
  var total = Vector();
  for (var y = start.x; y < end.x; y++) {
    for (var x = start.y; x < end.y; x++) {
      total += input[u32((b * params.input.x + y) * params.input.y + x) * params.channels + at % params.channels];
    }
  }
  out[at] = total * params.weight;
}
