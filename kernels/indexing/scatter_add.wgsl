// out[r, j] = Σ_n values[n, j] over the n with indices[n] = r, in their order: one invocation an element reads all indices.

alias Element = vec4<f32>;
const WORKGROUP = 64u;

struct Params {
  size: u32, // of out, in elements of this kernel
  count: u32, // of indices
  width: u32, // of a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Element>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<Element>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  let row = i32(i / params.width);
  var total = Element();
  for (var n = 0u; n < params.count; n++) {
    if (indices[n] == row) {
      total += values[n * params.width + i % params.width];
    }
  }
  out[i] = total;
}
