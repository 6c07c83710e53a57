// p[r, j] = exp(scale · s[r, j] − lse[r]) and ds[r, j] = scale · p[r, j] (dp[r, j] − delta[r]), in place of the scores s and of dp.

alias Vector = vec4<f32>;
alias Bits = vec4<u32>; // u32 for f32
const WORKGROUP = 64u;

struct Params {
  size: u32, // in vectors
  length: u32, // of a row
  scale: f32,
  lse_offset: u32,
  delta_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> delta: array<f32>;
@group(0) @binding(3) var<storage, read_write> scores: array<Vector>;
@group(0) @binding(4) var<storage, read_write> slopes: array<Vector>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  let row = i / params.length;
  let d = scores[i] * params.scale - lse[params.lse_offset + row];
  // By its bits: built-in exp may make any number of a NaN.
  let p = select(exp(d), d, (bitcast<Bits>(d) & Bits(0x7fffffffu)) > Bits(0x7f800000u));
  scores[i] = p;
  slopes[i] = params.scale * p * (slopes[i] - delta[params.delta_offset + row]);
}
