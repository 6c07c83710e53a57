// sums[0, b, s, c] = Σ_p dz and sums[1, b, s, c] = Σ_p dz · normal over the pixels p of share s, where
// normal = (x − mean) · rstd, z = normal · scale[c] + bias[c] and dz = g · activation'(z).

alias Vector = vec4<f32>; // channels of a group side by side; f32 where four do not divide them
const WORKGROUP = 128u; // a small one, with lanes = 1, for adapters where barriers are dear
fn slope(z: Vector) -> Vector { return Vector(1.0); }

struct Params {
  batch: u32,
  pixels: u32,
  channels: u32, // of all groups, in vectors
  depth: u32, // channels of a group, in vectors
  chunk: u32, // pixels of a share
  shares: u32,
  blocks: u32, // workgroups that cover batch · channels
  lanes: u32, // a power of two; a workgroup has WORKGROUP / lanes channels
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<Vector>;
@group(0) @binding(2) var<storage, read> x: array<Vector>;
@group(0) @binding(3) var<storage, read> scale: array<Vector>;
@group(0) @binding(4) var<storage, read> bias: array<Vector>;
@group(0) @binding(5) var<storage, read> statistics: array<f32>; // [b, group]: shift, mean − shift, rstd
@group(0) @binding(6) var<storage, read_write> sums: array<Vector>;

var<workgroup> dz_sums: array<Vector, WORKGROUP>; // [lane][channel]
var<workgroup> dz_normal_sums: array<Vector, WORKGROUP>; // [lane][channel]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let columns = WORKGROUP / params.lanes;
  let lane = local / columns;
  let at = group.x + group.y * groups.x;
  let channel = (at % params.blocks) * columns + local % columns; // of all samples
  let share = at / params.blocks;
  let isInside = channel < params.batch * params.channels && share < params.shares;
  let b = channel / params.channels;
  let c = channel % params.channels;
  let sample = (b * (params.channels / params.depth) + c / params.depth) * 3u;
  let end = select(0u, min((share + 1u) * params.chunk, params.pixels), isInside);

  var dz_sum = Vector();
  var dz_normal_sum = Vector();
  for (var p = share * params.chunk + lane; p < end; p += params.lanes) {
    let i = (b * params.pixels + p) * params.channels + c;
    let normal = ((x[i] - statistics[sample]) - statistics[sample + 1u]) * statistics[sample + 2u];
    let dz = g[i] * slope(normal * scale[c] + bias[c]);
    dz_sum += dz;
    dz_normal_sum += dz * normal;
  }
  dz_sums[local] = dz_sum;
  dz_normal_sums[local] = dz_normal_sum;
  for (var step = params.lanes / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      dz_sums[local] += dz_sums[local + step * columns];
      dz_normal_sums[local] += dz_normal_sums[local + step * columns];
    }
  }
  if (lane == 0u && isInside) {
    let out = (b * params.shares + share) * params.channels + c;
    sums[out] = dz_sums[local];
    sums[out + params.batch * params.shares * params.channels] = dz_normal_sums[local];
  }
}
