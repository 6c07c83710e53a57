// out[o, r, i] = before[o, s − 1, i] + Σ input[o, q, i] over q in [s · CHUNK, r], s = r / CHUNK: an invocation for each chunk.

const HAS_BEFORE = false; // whether there are chunks before the first
const CHUNK = 64u;
const WORKGROUP = 64u;

struct Params {
  size: u32, // outer · chunks · inner
  length: u32,
  chunks: u32,
  inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> before: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) { return; }
  let i = at % params.inner;
  let s = (at / params.inner) % params.chunks;
  let o = at / (params.inner * params.chunks);
  var start = 0.0;
  if (HAS_BEFORE && s > 0u) {
    start = before[at - params.inner];
  }
  let last = min((s + 1u) * CHUNK, params.length);
  var total = 0.0;
  for (var r = s * CHUNK; r < last; r++) {
    let place = (o * params.length + r) * params.inner + i;
    total += input[place];
    out[place] = start + total;
  }
}
