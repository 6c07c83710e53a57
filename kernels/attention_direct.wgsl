// o[b, i] = Σ_j exp(scale · q[b, i] · k[b, j] − lse[b, i]) v[b, j], lse[b, i] = log Σ_j exp(scale · q[b, i] · k[b, j]):
// one invocation a query, which reads the keys twice and keeps its sums in o.

const LOWEST = -3.4e38; // WGSL may assume that there is no −∞
const WORKGROUP = 64u;

struct Params {
  size: u32, // batch · queries
  queries: u32,
  keys: u32,
  depth: u32, // of queries and keys
  width: u32, // of values
  scale: f32,
  offsets: vec4<i32>, // of q, k, v
  row_strides: vec4<i32>, // of q, k, v
  batch: vec4<u32>, // the axes before queries and keys
  q_strides: vec4<i32>, // along these
  k_strides: vec4<i32>,
  v_strides: vec4<i32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

/** Where sample b of q, k and v begins. */
fn starts(b: u32) -> vec4<i32> {
  var at = params.offsets;
  var rest = b;
  for (var axis = 4u; axis > 0u; axis--) {
    let n = params.batch[axis - 1u];
    let index = i32(rest % n);
    rest /= n;
    at += index * vec4<i32>(params.q_strides[axis - 1u], params.k_strides[axis - 1u], params.v_strides[axis - 1u], 0);
  }
  return at;
}

fn score(query: i32, key: i32) -> f32 {
  var total = 0.0;
  for (var d = 0; d < i32(params.depth); d++) {
    total += q[query + d] * k[key + d];
  }
  return total * params.scale;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let row = id.x + id.y * groups.x * WORKGROUP;
  if (row >= params.size) {
    return;
  }
  let start = starts(row / params.queries);
  let query = start.x + i32(row % params.queries) * params.row_strides.x;

  var peak = LOWEST;
  var total = 0.0;
  for (var j = 0; j < i32(params.keys); j++) {
    let s = score(query, start.y + j * params.row_strides.y);
    if (s > peak) {
      total *= exp(peak - s);
      peak = s;
    }
    total += exp(s - peak);
  }
  let log_total = peak + log(total);
  lse[row] = log_total;

  let out = row * params.width;
  for (var c = 0u; c < params.width; c++) {
    o[out + c] = 0.0;
  }
  for (var j = 0; j < i32(params.keys); j++) {
    // Over the total rather than less its logarithm, so that the weights add up to 1 however large the scores are.
    let p = exp(score(query, start.y + j * params.row_strides.y) - peak) / total;
    let value = start.z + j * params.row_strides.z;
    for (var c = 0u; c < params.width; c++) {
      o[out + c] += p * v[value + i32(c)];
    }
  }
}
