// dx[b, p, c] = rstd · (dz · scale[c] − means[b, g, 0] − normal · means[b, g, 1]), where normal = (x − mean) · rstd,
// z = normal · scale[c] + bias[c], dz = dy · activation'(z) and the means are those of dz · scale and of dz · scale · normal.

alias Vector = vec4<f32>; // channels of a group side by side; f32 where four do not divide them
const WORKGROUP = 64u;
fn slope(z: Vector) -> Vector { return Vector(1.0); }

struct Params {
  size: u32, // in vectors
  sample: u32, // pixels · channels
  channels: u32, // of all groups
  depth: u32, // channels of a group
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Vector>;
@group(0) @binding(2) var<storage, read> x: array<Vector>;
@group(0) @binding(3) var<storage, read> scale: array<Vector>;
@group(0) @binding(4) var<storage, read> bias: array<Vector>;
@group(0) @binding(5) var<storage, read> statistics: array<f32>; // [b, g]: shift, mean − shift, rstd
@group(0) @binding(6) var<storage, read> means: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<Vector>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  let c = i % params.channels;
  let sample = (i / params.sample) * (params.channels / params.depth) + c / params.depth;
  let at = sample * 3u;
  let rstd = statistics[at + 2u];
  let normal = ((x[i] - statistics[at]) - statistics[at + 1u]) * rstd;
  let dz = dy[i] * slope(normal * scale[c] + bias[c]);
  dx[i] = rstd * (dz * scale[c] - means[sample * 2u] - normal * means[sample * 2u + 1u]);
}
