// p[r, j] = exp(scale · s[r, j] − lse[r]), lse[r] = log Σ_j exp(scale · s[r, j]), in place of the scores s: one invocation a row.

alias Vector = vec4<f32>;
const LOWEST = -3.4e38; // WGSL may assume that there is no −∞
const WORKGROUP = 64u;
fn largest_of(v: Vector) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn sum_of(v: Vector) -> f32 { return (v.x + v.y) + (v.z + v.w); }

struct Params {
  rows: u32,
  length: u32, // of a row, in vectors
  scale: f32,
  lse_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scores: array<Vector>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let row = id.x + id.y * groups.x * WORKGROUP;
  if (row >= params.rows) {
    return;
  }
  let first = row * params.length;
  let end = first + params.length;
  var peak = LOWEST;
  for (var j = first; j < end; j++) {
    peak = max(peak, largest_of(scores[j] * params.scale));
  }
  var total = 0.0;
  for (var j = first; j < end; j++) {
    let p = exp(scores[j] * params.scale - peak);
    total += sum_of(p);
    scores[j] = p;
  }
  lse[params.lse_offset + row] = peak + log(total);
  // Over the total rather than less its logarithm, so that the weights add up to 1 however large the scores are.
  for (var j = first; j < end; j++) {
    scores[j] /= total;
  }
}
