// out[r, j] = result(input[r, j], max_k input[r, k], Σ_k exp(input[r, k] − max)): `lanes` invocations a row, two readings.

alias Vector = vec4<f32>;
alias Result = vec4<f32>; // f32 for one result a row
const IS_REDUCTION = false; // whether out is [r]
const LOWEST = -3.4e38; // WGSL may assume that there is no −∞
const WORKGROUP = 128u; // a small one, with lanes = 1, for adapters where barriers are dear
fn largest_of(v: Vector) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn sum_of(v: Vector) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn result(x: Vector, peak: f32, total: f32) -> Result { return exp(x - peak) / total; }

struct Params {
  rows: u32,
  length: u32, // of a row, in vectors
  lanes: u32, // a power of two; a workgroup has WORKGROUP / lanes rows
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Vector>;
@group(0) @binding(2) var<storage, read_write> out: array<Result>;

var<workgroup> partial: array<vec2<f32>, WORKGROUP>; // [row][lane]: the largest element, and Σ exp(x − it)

/** Both halves of a row's (largest element, Σ exp(x − it)). */
fn merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let peak = max(a.x, b.x);
  return vec2<f32>(peak, a.y * exp(a.x - peak) + b.y * exp(b.x - peak));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(local_invocation_index) local: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let lane = local % params.lanes;
  let row = (group.x + group.y * groups.x) * (WORKGROUP / params.lanes) + local / params.lanes;
  let first = row * params.length;
  let length = select(0u, params.length, row < params.rows);

  var seen = vec2<f32>(LOWEST, 0.0);
  for (var j = lane; j < length; j += params.lanes) {
    let x = input[first + j];
    let peak = largest_of(x);
    if (peak > seen.x) {
      seen = vec2<f32>(peak, seen.y * exp(seen.x - peak));
    }
    seen.y += sum_of(exp(x - seen.x));
  }
  partial[local] = seen;
  for (var step = params.lanes / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[local] = merge(partial[local], partial[local + step]);
    }
  }
  workgroupBarrier();
  let whole = partial[local - lane];

  if (IS_REDUCTION) {
    if (lane == 0u && row < params.rows) {
      out[row] = result(Vector(), whole.x, whole.y);
    }
    return;
  }
  for (var j = lane; j < length; j += params.lanes) {
    out[first + j] = result(input[first + j], whole.x, whole.y);
  }
}
