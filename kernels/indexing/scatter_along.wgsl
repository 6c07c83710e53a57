// out[o, l, i] = Σ_j values[o, j, i] over the j with indices[o, j, i] = l, in their order: one invocation an element reads all j.

const WORKGROUP = 64u;

struct Params {
  size: u32, // outer · length · inner
  length: u32, // of the axis of out
  count: u32, // of the axis of values
  inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) { return; }
  let i = at % params.inner;
  let l = i32((at / params.inner) % params.length);
  let first = at / (params.inner * params.length) * params.count * params.inner + i;
  var total = 0.0;
  for (var j = 0u; j < params.count; j++) {
    let source = first + j * params.inner;
    if (indices[source] == l) {
      total += values[source];
    }
  }
  out[at] = total;
}
