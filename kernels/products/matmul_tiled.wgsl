// out[s, p, i, j] = Σ_k a[p, i, k] · b[p, k, j] + bias[p, i, j], k in share s: tiles in workgroup memory, sums in registers.

alias A = vec4<f32>;
alias B = vec4<f32>;
alias Bias = vec4<f32>;
alias Out = vec4<f32>;
const A_IS_TRANSPOSED = false; // whether a's contiguous axis is i and not k
const B_IS_TRANSPOSED = false; // whether b's contiguous axis is k and not j
const K_IS_RAGGED = true; // whether the last tile reaches beyond k
const BATCH_RANK = 0u;
const HAS_BIAS = false;
const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 8u;
const THREAD_M = 8u; // 4 or 8
const THREAD_N = 8u;
const BUFFERS = 2u; // 1 saves memory and costs a barrier a tile
fn a4(i: u32) -> vec4<f32> { return a[i / 4u]; }
fn b4(i: u32) -> vec4<f32> { return b[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }

const THREADS_N = TILE_N / THREAD_N; // a multiple of WARP_N
const THREADS = TILE_M / THREAD_M * THREADS_N; // at least A_BLOCKS + B_BLOCKS
const A_BLOCKS = TILE_M * TILE_K / 16u; // 4 × 4 blocks of a tile, one a loading thread
const B_BLOCKS = TILE_N * TILE_K / 16u;
const WARP_M = 4u; // 32 threads make 4 × 8 quads
const WARP_N = 8u;
const SKEW = 32u / TILE_K; // quads that keep stores of transposed blocks from meeting in one bank
const A_STEP = TILE_M + SKEW; // quads that four rows of k take
const B_STEP = TILE_N + SKEW;
const A_1 = TILE_M / 4u; // quads to the second, third and fourth of them, and to what lies half a tile further
const A_2 = TILE_M / 4u * 2u;
const A_3 = TILE_M / 4u * 3u;
const A_FAR = select(0u, TILE_M / 8u, THREAD_M > 4u);
const B_1 = TILE_N / 4u;
const B_2 = TILE_N / 4u * 2u;
const B_3 = TILE_N / 4u * 3u;
const B_FAR = select(0u, TILE_N / 8u, THREAD_N > 4u);
const A_BUFFER = TILE_K / 4u * A_STEP;
const B_BUFFER = TILE_K / 4u * B_STEP;

struct Params {
  batches: u32,
  m: u32,
  n: u32,
  k: u32,
  shares: u32,
  share: u32, // tiles of k in a share
  a_offset: u32,
  a_step: u32, // from one contiguous run of a to the next
  b_offset: u32,
  b_step: u32,
  bias_offset: u32,
  bias_step: u32, // from one row to the next
  out_offset: u32,
  batch_shape: array<vec4<u32>, 2>,
  a_strides: array<vec4<u32>, 2>, // of the batch axes
  b_strides: array<vec4<u32>, 2>,
  bias_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read_write> out: array<Out>;

var<workgroup> a_tile: array<vec4<f32>, BUFFERS * A_BUFFER>; // [buffer][k / 4] { [k % 4][i / 4], skew }
var<workgroup> b_tile: array<vec4<f32>, BUFFERS * B_BUFFER>; // [buffer][k / 4] { [k % 4][j / 4], skew }

/** The sums of a thread, [i][j] each: near, and half a tile further to the right, below, and both. */
struct Sums {
  near: mat4x4<f32>,
  right: mat4x4<f32>,
  below: mat4x4<f32>,
  far: mat4x4<f32>,
}

/** Where matrix `batch` of a, of b and of the bias begin. */
fn matrices(batch: u32) -> vec3<u32> {
  var at = vec3<u32>(params.a_offset, params.b_offset, params.bias_offset);
  var rest = batch;
  for (var axis = BATCH_RANK; axis > 0u; axis--) {
    let quad = (axis - 1u) / 4u;
    let lane = (axis - 1u) % 4u;
    let index = rest % params.batch_shape[quad][lane];
    rest /= params.batch_shape[quad][lane];
    at += index * vec3<u32>(params.a_strides[quad][lane], params.b_strides[quad][lane], params.bias_strides[quad][lane]);
  }
  return at;
}

/** Addresses of the four runs of a block; runs along k of rows beyond the matrix are those of its last row. */
fn runs(start: u32, step: u32, along_k: bool, k: u32, i: u32, size: u32) -> vec4<u32> {
  let lanes = vec4<u32>(0u, 1u, 2u, 3u);
  if (along_k) {
    return start + min(i + lanes, vec4<u32>(size - 1u)) * step + k;
  }
  return start + (k + lanes) * step + i;
}

/** A block with its columns from `end` on set to zero; what stands there in storage may be anything, NaN too. */
fn cut(block: mat4x4<f32>, end: u32) -> mat4x4<f32> {
  let zero = vec4<f32>();
  return mat4x4<f32>(
    select(zero, block[0], end > 0u),
    select(zero, block[1], end > 1u),
    select(zero, block[2], end > 2u),
    select(zero, block[3], end > 3u),
  );
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

/** Adds the products of one k: of four rows and four columns, and of those half a tile further. */
fn multiply(sums: ptr<function, Sums>, x: vec4<f32>, x_far: vec4<f32>, y: vec4<f32>, y_far: vec4<f32>) {
  (*sums).near = add_outer((*sums).near, x, y);
  if (THREAD_N > 4u) { (*sums).right = add_outer((*sums).right, x, y_far); }
  if (THREAD_M > 4u) { (*sums).below = add_outer((*sums).below, x_far, y); }
  if (THREAD_M > 4u && THREAD_N > 4u) { (*sums).far = add_outer((*sums).far, x_far, y_far); }
}

/** Writes what lies inside of out of the 4 × 4 outputs from row i and column j on; the first share adds the bias. */
fn write_block(slab: u32, bias_at: u32, i: u32, j: u32, block: mat4x4<f32>) {
  if (j < params.n) {
    write_row(slab, bias_at, i, j, block[0]);
    write_row(slab, bias_at, i + 1u, j, block[1]);
    write_row(slab, bias_at, i + 2u, j, block[2]);
    write_row(slab, bias_at, i + 3u, j, block[3]);
  }
}

fn write_row(slab: u32, bias_at: u32, i: u32, j: u32, sums: vec4<f32>) {
  if (i >= params.m) {
    return;
  }
  var x = sums;
  if (HAS_BIAS && slab < params.batches) { x += bias4(bias_at + i * params.bias_step + j); }
  write(params.out_offset + (slab * params.m + i) * params.n + j, x, params.n - j);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tiles = (vec2<u32>(params.m, params.n) + vec2<u32>(TILE_M, TILE_N) - 1u) / vec2<u32>(TILE_M, TILE_N);
  let tile = group.x + group.y * groups.x;
  let slab = tile / (tiles.x * tiles.y); // share · batches + batch
  if (slab >= params.shares * params.batches) {
    return;
  }
  let first_row = tile / tiles.y % tiles.x * TILE_M;
  let first_column = tile % tiles.y * TILE_N;
  let first = slab / params.batches * params.share;
  let last = min(first + params.share, (params.k + TILE_K - 1u) / TILE_K);

  // Threads load one block each, of a or of b: `at` are the addresses of its runs, `to` is its place in the tile.
  let start = matrices(slab % params.batches);
  let loads_a = thread < A_BLOCKS;
  let loads_b = !loads_a && thread < A_BLOCKS + B_BLOCKS;
  var k = first * TILE_K;
  var at = vec4<u32>();
  var advance = TILE_K;
  var to = 0u;
  if (loads_a) {
    let k_quad = select(thread % (TILE_K / 4u), thread / (TILE_M / 4u), A_IS_TRANSPOSED);
    let quad = select(thread / (TILE_K / 4u), thread % (TILE_M / 4u), A_IS_TRANSPOSED);
    k += 4u * k_quad;
    at = runs(start.x, params.a_step, !A_IS_TRANSPOSED, k, first_row + 4u * quad, params.m);
    advance = select(TILE_K, TILE_K * params.a_step, A_IS_TRANSPOSED);
    to = k_quad * A_STEP + quad;
  } else if (loads_b) {
    let block = thread - A_BLOCKS;
    let k_quad = select(block / (TILE_N / 4u), block % (TILE_K / 4u), B_IS_TRANSPOSED);
    let quad = select(block % (TILE_N / 4u), block / (TILE_K / 4u), B_IS_TRANSPOSED);
    k += 4u * k_quad;
    at = runs(start.y, params.b_step, B_IS_TRANSPOSED, k, first_column + 4u * quad, params.n);
    advance = select(TILE_K * params.b_step, TILE_K, B_IS_TRANSPOSED);
    to = k_quad * B_STEP + quad;
  }

  // A GPU reads workgroup memory once for threads whose numbers differ in bit 0, or in bit 1, when they want the same quad.
  let warp = thread / (WARP_M * WARP_N);
  let thread_m = thread % 2u + thread / 16u % 2u * 2u + warp / (THREADS_N / WARP_N) * WARP_M;
  let thread_n = thread / 2u % WARP_N + warp % (THREADS_N / WARP_N) * WARP_N;

  var sums: Sums;
  var block: mat4x4<f32>;
  // While a tile is multiplied, the next is on its way from storage into registers.
  // Tint leaves out its checks of indices made of constants, this thread's number and counters with constant bounds.
  for (var base = first; base <= last; base += BUFFERS) {
    for (var buffer = 0u; buffer < BUFFERS; buffer++) {
      let step = base + buffer;
      if (step < last) {
        if (loads_a) {
          block = mat4x4<f32>(a4(at.x), a4(at.y), a4(at.z), a4(at.w));
          if (!A_IS_TRANSPOSED) { block = transpose(block); }
        } else if (loads_b) {
          block = mat4x4<f32>(b4(at.x), b4(at.y), b4(at.z), b4(at.w));
          if (B_IS_TRANSPOSED) { block = transpose(block); }
        }
        if (K_IS_RAGGED) { block = cut(block, max(params.k, k) - k); }
        at += vec4<u32>(advance);
        k += TILE_K;
      }
      if (first < step && step <= last) {
        for (var quad = 0u; quad < TILE_K / 4u; quad++) {
          let i = (BUFFERS - 1u - buffer) * A_BUFFER + quad * A_STEP + thread_m;
          let j = (BUFFERS - 1u - buffer) * B_BUFFER + quad * B_STEP + thread_n;
          multiply(&sums, a_tile[i], a_tile[i + A_FAR], b_tile[j], b_tile[j + B_FAR]);
          multiply(&sums, a_tile[i + A_1], a_tile[i + A_1 + A_FAR], b_tile[j + B_1], b_tile[j + B_1 + B_FAR]);
          multiply(&sums, a_tile[i + A_2], a_tile[i + A_2 + A_FAR], b_tile[j + B_2], b_tile[j + B_2 + B_FAR]);
          multiply(&sums, a_tile[i + A_3], a_tile[i + A_3 + A_FAR], b_tile[j + B_3], b_tile[j + B_3 + B_FAR]);
        }
      }
      if (BUFFERS == 1u) { workgroupBarrier(); }
      if (step < last) {
        if (loads_a) {
          let into = buffer * A_BUFFER + to;
          a_tile[into] = block[0];
          a_tile[into + A_1] = block[1];
          a_tile[into + A_2] = block[2];
          a_tile[into + A_3] = block[3];
        } else if (loads_b) {
          let into = buffer * B_BUFFER + to;
          b_tile[into] = block[0];
          b_tile[into + B_1] = block[1];
          b_tile[into + B_2] = block[2];
          b_tile[into + B_3] = block[3];
        }
      }
      workgroupBarrier();
    }
  }

  let row = first_row + 4u * thread_m;
  let column = first_column + 4u * thread_n;
  write_block(slab, start.z, row, column, sums.near);
  if (THREAD_N > 4u) { write_block(slab, start.z, row, column + TILE_N / 2u, sums.right); }
  if (THREAD_M > 4u) { write_block(slab, start.z, row + TILE_M / 2u, column, sums.below); }
  if (THREAD_M > 4u && THREAD_N > 4u) {
    write_block(slab, start.z, row + TILE_M / 2u, column + TILE_N / 2u, sums.far);
  }
}
