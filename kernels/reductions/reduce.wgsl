// out[o, s, i] = combine over r in [s · CHUNK, (s + 1) · CHUNK) of input[o, r, i]: one pass of a reduction of a middle axis.

const CHUNK = 64u;
const WORKGROUP = 64u;
fn identity() -> f32 { return 0.0; }
fn combine(a: f32, b: f32) -> f32 { return a + b; }

struct Params {
  size: u32, // outer · chunks · inner
  reduced: u32,
  chunks: u32,
  inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) { return; }
  let i = at % params.inner;
  let s = (at / params.inner) % params.chunks;
  let o = at / (params.inner * params.chunks);
  let first = s * CHUNK;
  let last = min(first + CHUNK, params.reduced);
  var total = identity();
  for (var r = first; r < last; r++) {
    total = combine(total, input[(o * params.reduced + r) * params.inner + i]);
  }
  out[at] = total;
}
