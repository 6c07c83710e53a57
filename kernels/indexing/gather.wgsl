// out[n, j] = table[indices[n], j], the bits of any type; `missing` for an index outside of the table.

alias Element = vec4<u32>;
const WORKGROUP = 64u;

struct Params {
  size: u32, // of out, in elements of this kernel
  rows: u32,
  width: u32, // of a row
  missing: u32, // bits
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<Element>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<Element>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  let index = indices[i / params.width];
  var element = Element(params.missing);
  if (index >= 0 && index < i32(params.rows)) {
    element = table[u32(index) * params.width + i % params.width];
  }
  out[i] = element;
}
