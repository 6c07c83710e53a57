// p[r, j] = exp(scale · s[r, j] − lse[r]) and ds[r, j] = scale · p[r, j] (dp[r, j] − delta[r]), in place of the scores s and of dp.

alias Vector = vec4<f32>;
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
  if (i >= params.size) {
    return;
  }
  let row = i / params.length;
  let p = exp(scores[i] * params.scale - lse[params.lse_offset + row]);
  scores[i] = p;
  slopes[i] = params.scale * p * (slopes[i] - delta[params.delta_offset + row]);
}
