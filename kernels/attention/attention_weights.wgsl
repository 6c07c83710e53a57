// p[r, j] = exp(scale · s[r, j] − lse[r]), lse[r] = log Σ_j exp(scale · s[r, j]), in place of the scores s: one invocation a row. All of it
// is NaN where the largest score is infinite or a score is NaN. Bits are tested: compilers may assume that there is neither.

alias Vector = vec4<f32>;
const WORKGROUP = 64u;
const LOWEST = 0xff800000u; // −∞
const NAN = 0x7fc00000u;
fn largest_of(v: Vector) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn sum_of(v: Vector) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn has_nan(v: Vector) -> bool { return any((bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u)); }
fn strange(bits: u32) -> f32 { return 0.0; }
fn is_finite(x: f32) -> bool { return true; }

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
  if (row >= params.rows) { return; }
  let first = row * params.length;
  let end = first + params.length;
  var peak = strange(LOWEST);
  var is_strange = false;
  for (var j = first; j < end; j++) {
    let s = scores[j] * params.scale;
    is_strange |= has_nan(s);
    peak = max(peak, largest_of(s));
  }
  if (is_strange || !is_finite(peak)) {
    lse[params.lse_offset + row] = strange(NAN);
    for (var j = first; j < end; j++) {
      scores[j] = Vector(strange(NAN));
    }
    return;
  }
  var total = 0.0;
  for (var j = first; j < end; j++) {
    let d = scores[j] * params.scale - peak;
    let p = select(exp(d), Vector(), d < Vector(-87.0)); // −∞ has no weight
    total += sum_of(p);
    scores[j] = p;
  }
  lse[params.lse_offset + row] = peak + log(total);
  // Over the total rather than less its logarithm, so that the weights add up to 1 however large the scores are.
  for (var j = first; j < end; j++) {
    scores[j] /= total;
  }
}
