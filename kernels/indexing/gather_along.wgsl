// out[o, j, i] = x[o, indices[o, j, i], i], the bits of any type; `missing` for an index outside of the axis.

const WORKGROUP = 64u;

struct Params {
  size: u32, // outer · count · inner
  length: u32, // of the axis of x
  count: u32, // of the axis of indices
  inner: u32,
  missing: u32, // bits
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) { return; }
  let i = at % params.inner;
  let o = at / (params.inner * params.count);
  let index = indices[at];
  var element = params.missing;
  if (index >= 0 && index < i32(params.length)) {
    element = x[(o * params.length + u32(index)) * params.inner + i];
  }
  out[at] = element;
}
