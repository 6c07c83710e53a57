// out[r, j] = result(input[r, j], max_k input[r, k], Σ_k exp(input[r, k] − max)): `lanes` invocations a row, two readings. Of a row whose
// largest element is infinite or a NaN, out[r, j] = of_peak(it). Bits are tested: compilers may assume that there is neither.

alias Vector = vec4<f32>;
alias Result = vec4<f32>; // f32 for one result a row
const IS_REDUCTION = false; // whether out is [r]
const WORKGROUP = 128u; // a small one, with lanes = 1, for adapters where barriers are dear
const INFINITE = 0x7f800000u;
const LOWEST = 0xff800000u; // −∞
const NAN = 0x7fc00000u;
fn largest_of(v: Vector) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn sum_of(v: Vector) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn has_nan(v: Vector) -> bool { return any((bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(INFINITE)); }
fn exp_of(v: Vector) -> Vector { return select(exp(v), Vector(), v < Vector(-87.0)); }
fn of_peak(peak: f32) -> Result { return Result(peak); }
fn result(x: Vector, peak: f32, total: f32) -> Result { return exp_of(x - peak) / total; }
fn strange(bits: u32) -> f32 { return 0.0; }
fn is_finite(x: f32) -> bool { return true; }

struct Params {
  rows: u32,
  length: u32, // of a row, in vectors
  lanes: u32, // a power of two; a workgroup has WORKGROUP / lanes rows
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Vector>;
@group(0) @binding(2) var<storage, read_write> out: array<Result>;

var<workgroup> partial: array<vec2<f32>, WORKGROUP>; // [row][lane]: the largest element, and Σ exp(x − it) if it is finite

/** Both parts of a row's (largest element, Σ exp(x − it)). */
fn merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let bits = bitcast<vec2<u32>>(vec2<f32>(a.x, b.x));
  if ((bits.x & 0x7fffffffu) > INFINITE || bits.y == LOWEST) {
    return a;
  }
  if ((bits.y & 0x7fffffffu) > INFINITE || bits.x == LOWEST) {
    return b;
  }
  let peak = max(a.x, b.x);
  return vec2<f32>(peak, a.y * exp(a.x - peak) + b.y * exp(b.x - peak));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let lane = local % params.lanes;
  let row = (group.x + group.y * groups.x) * (WORKGROUP / params.lanes) + local / params.lanes;
  let first = row * params.length;
  let length = select(0u, params.length, row < params.rows);

  var seen = vec2<f32>(strange(LOWEST), 0.0);
  for (var j = lane; j < length; j += params.lanes) {
    let x = input[first + j];
    if (has_nan(x)) {
      seen.x = strange(NAN);
      break;
    }
    let peak = largest_of(x);
    if (peak > seen.x) {
      seen = vec2<f32>(peak, select(0.0, seen.y * exp(seen.x - peak), seen.y > 0.0));
    }
    if (is_finite(seen.x)) {
      seen.y += sum_of(exp_of(x - seen.x));
    }
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
      if (is_finite(whole.x)) { out[row] = result(Vector(), whole.x, whole.y); } else { out[row] = of_peak(whole.x); }
    }
    return;
  }
  for (var j = lane; j < length; j += params.lanes) {
    if (is_finite(whole.x)) {
      out[first + j] = result(input[first + j], whole.x, whole.y);
    } else {
      out[first + j] = of_peak(whole.x);
    }
  }
}
