// o[b, i] = Σ_j exp(scale · q[b, i] · k[b, j] − lse[b, i]) v[b, j], lse[b, i] = log Σ_j exp(scale · q[b, i] · k[b, j]):
// a workgroup holds 4 · DOWN queries and walks over the keys, rescaling its sums as larger scores appear (flash
// attention, Dao et al. 2022). Both products are of blocks in registers; rows of q and k and the weights pass through workgroup
// memory, rows of v come from the cache.

const ACROSS = 16u; // threads along keys, and along the columns of o; a multiple of WARP_ACROSS
const DOWN = 8u; // threads along queries; a multiple of WARP_DOWN
const QUADS = 4u; // a thread's columns of o, in quads: ACROSS · QUADS cover `width`
const STEP = 4u; // quads of depth in memory at a time; divides `depth`
const UNROLL = 8u; // rows of v on their way to a thread at a time; divides KEYS
const INFINITE = 0x7f800000u;
const LOWEST = 0xff800000u; // −∞
const NAN = 0x7fc00000u;
fn strange(bits: u32) -> f32 { return 0.0; }
fn add_outer(sum: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> { return sum; }
fn add_dots(sum: vec4<f32>, rows: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> { return sum; }

const THREADS = ACROSS * DOWN;
const QUERIES = 4u * DOWN;
const KEYS = 4u * ACROSS;
const WARP_ACROSS = 8u; // neighbouring threads read as few quads of both operands as they can, free of bank conflicts
const WARP_DOWN = 4u;
const STRIDE = STEP + 1u; // odd, so that neighbouring rows start in different banks
const P_STRIDE = DOWN + 1u;

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

// First rows of q and of k: [query or QUERIES + key][STRIDE]. Then weights [key][P_STRIDE], each of four queries.
var<workgroup> memory: array<vec4<f32>, max((QUERIES + KEYS) * STRIDE, KEYS * P_STRIDE)>;
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

/** The size of x as bits; those of a NaN, and they alone, are above INFINITE. Compilers may assume that there is none. */
fn size_of(x: vec4<f32>) -> vec4<u32> {
  return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = group.x + group.y * groups.x;
  let sample = at / params.blocks;
  if (sample >= params.samples) { return; }
  let first_query = (at % params.blocks) * QUERIES;
  let start = starts(sample);
  let lane = thread % (WARP_ACROSS * WARP_DOWN);
  let warp = thread / (WARP_ACROSS * WARP_DOWN);
  let tx = (warp % (ACROSS / WARP_ACROSS)) * WARP_ACROSS + lane % WARP_ACROSS;
  let ty = (warp / (ACROSS / WARP_ACROSS)) * WARP_DOWN + lane / WARP_ACROSS;

  // This thread's queries are ty + DOWN · 0 … 3, its keys of a tile tx + ACROSS · 0 … 3. Rows beyond the last are read as copies
  // of it: their weights are zero, or their sums are not written.
  let lowest = vec4<f32>(strange(LOWEST));
  var peak = lowest;
  var largest = vec4<u32>(); // size of this thread's scores
  var total = vec4<f32>(); // over this thread's keys alone
  var sums: array<mat4x4<f32>, QUADS>; // [quad tx + ACROSS · j of the columns][query]

  for (var first_key = 0u; first_key < params.keys; first_key += KEYS) {
    var s = mat4x4<f32>(); // [key][query]
    for (var d = 0u; d < params.depth; d += STEP) {
      workgroupBarrier();
      for (var i = thread; i < QUERIES * STEP; i += THREADS) {
        let row = start.x + i32(min(first_query + i / STEP, params.queries - 1u)) * params.row_strides.x;
        memory[(i / STEP) * STRIDE + i % STEP] = q[row + i32(d + i % STEP)];
      }
      for (var i = thread; i < KEYS * STEP; i += THREADS) {
        let row = start.y + i32(min(first_key + i / STEP, params.keys - 1u)) * params.row_strides.y;
        memory[(QUERIES + i / STEP) * STRIDE + i % STEP] = k[row + i32(d + i % STEP)];
      }
      workgroupBarrier();
      for (var e = 0u; e < STEP; e++) {
        let at_query = ty * STRIDE + e;
        let queries = transpose(mat4x4<f32>(
          memory[at_query],
          memory[at_query + DOWN * STRIDE],
          memory[at_query + 2u * DOWN * STRIDE],
          memory[at_query + 3u * DOWN * STRIDE],
        ));
        let at_key = (QUERIES + tx) * STRIDE + e;
        s = mat4x4<f32>(
          add_dots(s[0], queries, memory[at_key]),
          add_dots(s[1], queries, memory[at_key + ACROSS * STRIDE]),
          add_dots(s[2], queries, memory[at_key + 2u * ACROSS * STRIDE]),
          add_dots(s[3], queries, memory[at_key + 3u * ACROSS * STRIDE]),
        );
      }
    }

    s *= params.scale;
    largest = max(max(max(largest, size_of(s[0])), size_of(s[1])), max(size_of(s[2]), size_of(s[3])));
    let key = first_key + tx;
    s = mat4x4<f32>(
      select(lowest, s[0], key < params.keys),
      select(lowest, s[1], key + ACROSS < params.keys),
      select(lowest, s[2], key + 2u * ACROSS < params.keys),
      select(lowest, s[3], key + 3u * ACROSS < params.keys),
    );
    exchange[tx * P_STRIDE + ty] = max(max(s[0], s[1]), max(s[2], s[3]));
    workgroupBarrier();
    var higher = peak;
    for (var i = 0u; i < ACROSS; i++) {
      higher = max(higher, exchange[i * P_STRIDE + ty]);
    }
    let base = select(higher, vec4<f32>(), bitcast<vec4<u32>>(higher) == vec4<u32>(LOWEST)); // before the first score that is more
    let shrink = exp2(peak - base);
    peak = higher;
    let p = mat4x4<f32>(exp2(s[0] - base), exp2(s[1] - base), exp2(s[2] - base), exp2(s[3] - base));
    total = total * shrink + ((p[0] + p[1]) + (p[2] + p[3]));
    for (var j = 0u; j < QUADS; j++) {
      let sum = sums[j];
      sums[j] = mat4x4<f32>(sum[0] * shrink.x, sum[1] * shrink.y, sum[2] * shrink.z, sum[3] * shrink.w);
    }
    let at_weight = tx * P_STRIDE + ty;
    memory[at_weight] = p[0];
    memory[at_weight + ACROSS * P_STRIDE] = p[1];
    memory[at_weight + 2u * ACROSS * P_STRIDE] = p[2];
    memory[at_weight + 3u * ACROSS * P_STRIDE] = p[3];
    workgroupBarrier();

    for (var i = 0u; i < min(KEYS, params.keys - first_key); i += UNROLL) {
      var values: array<vec4<f32>, QUADS * UNROLL>;
      for (var u = 0u; u < UNROLL; u++) {
        let row = start.z + i32(min(first_key + i + u, params.keys - 1u)) * params.row_strides.z;
        for (var j = 0u; j < QUADS; j++) {
          values[u * QUADS + j] = v[row + i32(min(tx + ACROSS * j, params.width - 1u))];
        }
      }
      for (var u = 0u; u < UNROLL; u++) {
        let weights = memory[(i + u) * P_STRIDE + ty];
        for (var j = 0u; j < QUADS; j++) {
          sums[j] = add_outer(sums[j], weights, values[u * QUADS + j]);
        }
      }
    }
  }

  exchange[tx * P_STRIDE + ty] = select(total, vec4<f32>(strange(NAN)), largest > vec4<u32>(INFINITE));
  workgroupBarrier();
  total = vec4<f32>();
  for (var i = 0u; i < ACROSS; i++) {
    total += exchange[i * P_STRIDE + ty];
  }
  for (var r = 0u; r < 4u; r++) {
    let query = first_query + ty + DOWN * r;
    if (query < params.queries) {
      let row = sample * params.queries + query;
      // A score that is NaN, a largest one that is infinite: no weights.
      let bits = bitcast<vec2<u32>>(vec2<f32>(peak[r], total[r])) & vec2<u32>(INFINITE);
      let is_strange = any(bits == vec2<u32>(INFINITE));
      for (var j = 0u; j < QUADS; j++) {
        let quad = tx + ACROSS * j;
        if (quad < params.width) {
          if (is_strange) { o[row * params.width + quad] = vec4<f32>(strange(NAN)); }
          else { o[row * params.width + quad] = sums[j][r] / total[r]; }
        }
      }
      if (tx == 0u) {
        if (is_strange) { lse[row] = strange(NAN); }
        else { lse[row] = (peak[r] + log2(total[r])) * 0.6931471805599453; }
      }
    }
  }
}
