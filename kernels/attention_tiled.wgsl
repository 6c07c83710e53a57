// o[b, i] = Σ_j exp(scale · q[b, i] · k[b, j] − lse[b, i]) v[b, j], lse[b, i] = log Σ_j exp(scale · q[b, i] · k[b, j]):
// a workgroup holds 4 · DOWN queries and walks over the keys, rescaling its sums as larger scores appear (flash attention,
// Dao et al. 2022). Both products are of 4 × 4 blocks in registers, their operands in workgroup memory.

const ACROSS = 16u; // threads along keys, and along the columns of o
const DOWN = 8u; // threads along queries
const QUADS = 4u; // quads of o's columns a thread holds: ACROSS · QUADS cover `width`
const STEP = 4u; // quads of depth in memory at a time
const VALUES = 4u; // rows of v in memory at a time; divides KEYS
const LOWEST = -3.4e38; // WGSL may assume that there is no −∞

const THREADS = ACROSS * DOWN;
const QUERIES = 4u * DOWN;
const KEYS = 4u * ACROSS;
const STRIDE = STEP + 1u; // odd, so that neighbouring rows start in different banks
const P_STRIDE = DOWN + 1u;
const V_STRIDE = ACROSS * QUADS;
const V_START = KEYS * P_STRIDE;
const MEMORY = max((QUERIES + KEYS) * STRIDE, V_START + VALUES * V_STRIDE);

struct Params {
  blocks: u32, // workgroups a sample
  samples: u32,
  queries: u32,
  keys: u32,
  depth: u32, // of queries and keys, in quads
  width: u32, // of values, in quads
  scale: f32, // times log₂ e: scores are exponents of 2
  offsets: vec4<i32>, // of q, k, v, in quads
  row_strides: vec4<i32>, // of q, k, v, in quads
  batch: vec4<u32>, // the axes before queries and keys
  q_strides: vec4<i32>, // along these, in quads
  k_strides: vec4<i32>,
  v_strides: vec4<i32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

// First rows of q and of k: [query or QUERIES + key][STRIDE]. Then weights [key][P_STRIDE], each of four queries; rows of v.
var<workgroup> memory: array<vec4<f32>, MEMORY>;
var<workgroup> exchange: array<vec4<f32>, ACROSS * P_STRIDE>; // [thread across][thread down], each of four queries

/** Where a sample of q, k and v begins. */
fn starts(sample: u32) -> vec4<i32> {
  var at = params.offsets;
  var rest = sample;
  for (var axis = 4u; axis > 0u; axis--) {
    let n = params.batch[axis - 1u];
    let index = i32(rest % n);
    rest /= n;
    at += index * vec4<i32>(params.q_strides[axis - 1u], params.k_strides[axis - 1u], params.v_strides[axis - 1u], 0);
  }
  return at;
}

/** sum[i] + x[i] · y for four rows i. */
fn add_outer(sum: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
  return mat4x4<f32>(
    fma(vec4<f32>(x.x), y, sum[0]),
    fma(vec4<f32>(x.y), y, sum[1]),
    fma(vec4<f32>(x.z), y, sum[2]),
    fma(vec4<f32>(x.w), y, sum[3]),
  );
}

/** sum + Σ_e rows[e] · x[e]: four rows' products with x, the rows given by their columns. */
fn add_dots(sum: vec4<f32>, rows: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  let first = fma(rows[1], vec4<f32>(x.y), fma(rows[0], vec4<f32>(x.x), sum));
  return fma(rows[3], vec4<f32>(x.w), fma(rows[2], vec4<f32>(x.z), first));
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = group.x + group.y * groups.x;
  let sample = at / params.blocks;
  if (sample >= params.samples) {
    return;
  }
  let first_query = (at % params.blocks) * QUERIES;
  let start = starts(sample);
  let tx = thread % ACROSS;
  let ty = thread / ACROSS;

  var peak = vec4<f32>(LOWEST); // of the queries 4 · ty + 0 … 3
  var total = vec4<f32>(); // of this thread's keys tx + ACROSS · 0 … 3 alone
  var sums: array<mat4x4<f32>, QUADS>; // [quad tx + ACROSS · j of the columns][query]

  for (var first_key = 0u; first_key < params.keys; first_key += KEYS) {
    var s = mat4x4<f32>(); // [key][query]
    for (var d = 0u; d < params.depth; d += STEP) {
      workgroupBarrier();
      for (var i = thread; i < (QUERIES + KEYS) * STEP; i += THREADS) {
        let row = i / STEP;
        let quad = d + i % STEP;
        var x = vec4<f32>();
        if (quad < params.depth) {
          if (row < QUERIES) {
            let query = first_query + row;
            if (query < params.queries) { x = q[start.x + i32(query) * params.row_strides.x + i32(quad)]; }
          } else {
            let key = first_key + row - QUERIES;
            if (key < params.keys) { x = k[start.y + i32(key) * params.row_strides.y + i32(quad)]; }
          }
        }
        memory[row * STRIDE + i % STEP] = x;
      }
      workgroupBarrier();
      for (var e = 0u; e < STEP; e++) {
        let rows = 4u * ty * STRIDE + e;
        let queries = transpose(mat4x4<f32>(
          memory[rows],
          memory[rows + STRIDE],
          memory[rows + 2u * STRIDE],
          memory[rows + 3u * STRIDE],
        ));
        let columns = (QUERIES + tx) * STRIDE + e;
        s = mat4x4<f32>(
          add_dots(s[0], queries, memory[columns]),
          add_dots(s[1], queries, memory[columns + ACROSS * STRIDE]),
          add_dots(s[2], queries, memory[columns + 2u * ACROSS * STRIDE]),
          add_dots(s[3], queries, memory[columns + 3u * ACROSS * STRIDE]),
        );
      }
    }
    s *= params.scale;
    let beyond = vec4<f32>(LOWEST);
    let key = first_key + tx;
    s = mat4x4<f32>(
      select(beyond, s[0], key < params.keys),
      select(beyond, s[1], key + ACROSS < params.keys),
      select(beyond, s[2], key + 2u * ACROSS < params.keys),
      select(beyond, s[3], key + 3u * ACROSS < params.keys),
    );

    exchange[tx * P_STRIDE + ty] = max(max(s[0], s[1]), max(s[2], s[3]));
    workgroupBarrier();
    var higher = peak;
    for (var i = 0u; i < ACROSS; i++) {
      higher = max(higher, exchange[i * P_STRIDE + ty]);
    }
    let shrink = exp2(peak - higher);
    peak = higher;
    let p = mat4x4<f32>(exp2(s[0] - peak), exp2(s[1] - peak), exp2(s[2] - peak), exp2(s[3] - peak));
    total = total * shrink + ((p[0] + p[1]) + (p[2] + p[3]));
    for (var j = 0u; j < QUADS; j++) {
      sums[j] = mat4x4<f32>(
        sums[j][0] * shrink.x,
        sums[j][1] * shrink.y,
        sums[j][2] * shrink.z,
        sums[j][3] * shrink.w,
      );
    }
    for (var c = 0u; c < 4u; c++) {
      memory[(tx + c * ACROSS) * P_STRIDE + ty] = p[c];
    }

    for (var first = 0u; first < KEYS; first += VALUES) {
      for (var i = thread; i < VALUES * V_STRIDE; i += THREADS) {
        let row = first_key + first + i / V_STRIDE;
        let quad = i % V_STRIDE;
        var x = vec4<f32>();
        if (row < params.keys && quad < params.width) {
          x = v[start.z + i32(row) * params.row_strides.z + i32(quad)];
        }
        memory[V_START + i] = x;
      }
      workgroupBarrier();
      for (var i = 0u; i < VALUES; i++) {
        let weights = memory[(first + i) * P_STRIDE + ty];
        for (var j = 0u; j < QUADS; j++) {
          sums[j] = add_outer(sums[j], weights, memory[V_START + i * V_STRIDE + j * ACROSS + tx]);
        }
      }
      workgroupBarrier();
    }
  }

  exchange[tx * P_STRIDE + ty] = total;
  workgroupBarrier();
  total = vec4<f32>();
  for (var i = 0u; i < ACROSS; i++) {
    total += exchange[i * P_STRIDE + ty];
  }
  for (var r = 0u; r < 4u; r++) {
    let query = first_query + 4u * ty + r;
    if (query < params.queries) {
      let row = sample * params.queries + query;
      for (var j = 0u; j < QUADS; j++) {
        let quad = j * ACROSS + tx;
        if (quad < params.width) {
          o[row * params.width + quad] = sums[j][r] / total[r];
        }
      }
      if (tx == 0u) {
        lse[row] = (peak[r] + log2(total[r])) * 0.6931471805599453;
      }
    }
  }
}
