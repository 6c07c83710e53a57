// out[i] = Σ_s shares[s, i] in the order of s: joins the parts of a sum that several workgroups made.

alias Vector = vec4<f32>;
const WORKGROUP = 64u;

struct Params {
  size: u32,
  count: u32,
  out_offset: u32, // in vectors
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> shares: array<Vector>;
@group(0) @binding(2) var<storage, read_write> out: array<Vector>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  var total = shares[i];
  for (var s = 1u; s < params.count; s++) {
    total += shares[s * params.size + i];
  }
  out[params.out_offset + i] = total;
}
