// average[i] = average[i] + weight · (value[i] − average[i]), in place, four elements per thread

const WORKGROUP = 64u;

struct Params {
  quads: u32,
  weight: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> average: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.quads) { return; }
  average[i] += params.weight * (value[i] - average[i]);
}
