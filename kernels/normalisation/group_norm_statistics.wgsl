// statistics[b, g, s] = (shift, mean − shift, 1 / √(variance + ε)) of x[b, p, c] over p and the channels of group g, or of
// share s of those elements, with their squares in the third place. The shift is the group's first element: differences from it
// keep their digits where the mean is far larger than the deviations, and partial results merge by Chan's formula. Squares are
// Σ (x − mean)², or, where that is more than float32 holds, −2⁻¹⁶⁰ Σ (x − mean)².

alias Vector = vec4<f32>; // channels of a group side by side; f32 where four do not divide them
const WIDTH = 4.0; // elements of a vector
const WORKGROUP = 128u; // a small one, with lanes = 1, for adapters where barriers are dear
fn first_of(v: Vector) -> f32 { return v.x; }
fn sum_of(v: Vector) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn is_finite(x: f32) -> bool { return true; }

struct Params {
  samples: u32, // batch · groups
  groups: u32,
  pixels: u32,
  channels: u32, // of all groups, in vectors
  depth: u32, // channels of a group, in vectors
  chunk: u32, // vectors of a share
  shares: u32,
  blocks: u32, // workgroups that cover the samples
  lanes: u32, // a power of two; a workgroup has WORKGROUP / lanes samples
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Vector>;
@group(0) @binding(2) var<storage, read_write> statistics: array<f32>;

var<workgroup> partial: array<vec3<f32>, WORKGROUP>; // [sample][lane]: count, mean − shift, squares

/** What squares of either sign are in units of 2¹⁶⁰. */
fn scaled(squares: f32) -> f32 {
  return select(squares * 0x1p-80 * 0x1p-80, -squares, squares < 0.0);
}

fn merge(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
  let count = a.x + b.x;
  let part = b.x / max(count, 1.0);
  let distance = b.y - a.y;
  var squares = a.z + b.z + distance * distance * a.x * part;
  if (a.z < 0.0 || b.z < 0.0 || !is_finite(squares)) {
    let tiny = distance * 0x1p-80;
    squares = -(scaled(a.z) + scaled(b.z) + tiny * tiny * a.x * part);
  }
  return vec3<f32>(count, a.y + distance * part, squares);
}

/** 1 / √(variance + ε) of squares of either sign; NaN of NaN. */
fn rstd_of(squares: f32, count: f32) -> f32 {
  if (!is_finite(squares)) {
    return bitcast<f32>(bitcast<u32>(squares) | 0x7fc00000u);
  }
  if (squares < 0.0) {
    return inverseSqrt(-squares / count) * 0x1p-80;
  }
  return inverseSqrt(squares / count + params.epsilon);
}

/** The lane's vectors: how many, Σ d · factor and Σ (d · factor)² with d = x − shift − pivot. */
struct Moments {
  vectors: f32,
  sums: Vector,
  squares: Vector,
}

fn moments(first: u32, start: u32, end: u32, shift: f32, pivot: f32, factor: f32) -> Moments {
  var found = Moments();
  var pixel = start / params.depth;
  var channel = start % params.depth;
  for (var k = start; k < end; k += params.lanes) {
    let d = ((x[first + pixel * params.channels + channel] - shift) - pivot) * factor;
    found.vectors += 1.0;
    found.sums += d;
    found.squares += d * d;
    pixel += params.lanes / params.depth;
    channel += params.lanes % params.depth;
    if (channel >= params.depth) {
      channel -= params.depth;
      pixel += 1u;
    }
  }
  return found;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let lane = local % params.lanes;
  let at = group.x + group.y * groups.x;
  let sample = (at % params.blocks) * (WORKGROUP / params.lanes) + local / params.lanes;
  let share = at / params.blocks;
  let isInside = sample < params.samples && share < params.shares;
  let first = (sample / params.groups) * params.pixels * params.channels + (sample % params.groups) * params.depth;
  let end = select(0u, min((share + 1u) * params.chunk, params.pixels * params.depth), isInside);

  let start = share * params.chunk + lane;
  var shift = 0.0;
  var pivot = 0.0; // this lane's own first element, as near to its mean as any, − shift
  if (start < end) {
    shift = first_of(x[first]);
    pivot = first_of(x[first + start / params.depth * params.channels + start % params.depth]) - shift;
  }
  var found = moments(first, start, end, shift, pivot, 1.0);
  let is_large = !is_finite(sum_of(found.squares));
  if (is_large) {
    found = moments(first, start, end, shift, pivot, 0x1p-80);
  }
  let count = found.vectors * WIDTH;
  let total = sum_of(found.sums);
  let mean = total / max(count, 1.0);
  let squares = sum_of(found.squares) - total * mean;
  let positive = select(squares, max(squares, 0.0), is_finite(squares)); // max drops a NaN
  partial[local] = vec3<f32>(
    count,
    pivot + select(mean, mean * 0x1p80, is_large),
    select(positive, -positive, is_large),
  );
  for (var step = params.lanes / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[local] = merge(partial[local], partial[local + step]);
    }
  }
  if (lane == 0u && isInside) {
    let whole = partial[local];
    let out = (sample * params.shares + share) * 3u;
    statistics[out] = shift;
    statistics[out + 1u] = whole.y;
    statistics[out + 2u] = select(whole.z, rstd_of(whole.z, whole.x), params.shares == 1u);
  }
}
