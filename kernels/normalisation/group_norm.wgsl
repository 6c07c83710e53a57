// y[b, p, c] = activation((x[b, p, c] − mean[b, g]) · rstd[b, g] · scale[c] + bias[c]), g the group of channel c.

alias Vector = vec4<f32>; // channels of a group side by side; f32 where four do not divide them
const WORKGROUP = 64u;
fn activation(z: Vector) -> Vector { return z; }

struct Params {
  size: u32, // in vectors
  sample: u32, // pixels · channels
  channels: u32, // of all groups
  depth: u32, // channels of a group
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Vector>;
@group(0) @binding(2) var<storage, read> scale: array<Vector>;
@group(0) @binding(3) var<storage, read> bias: array<Vector>;
@group(0) @binding(4) var<storage, read> statistics: array<f32>; // [b, g]: shift, mean − shift, rstd
@group(0) @binding(5) var<storage, read_write> y: array<Vector>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  let c = i % params.channels;
  let at = ((i / params.sample) * (params.channels / params.depth) + c / params.depth) * 3u;
  let normal = ((x[i] - statistics[at]) - statistics[at + 1u]) * statistics[at + 2u];
  y[i] = activation(normal * scale[c] + bias[c]);
}
