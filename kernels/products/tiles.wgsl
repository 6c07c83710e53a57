// sums[i][j] += Σ_k a_tile[k][i] · b_tile[k][j]: tiles of two matrices in workgroup memory, sums in registers. With blocks.wgsl.

const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 8u;
const THREAD_M = 8u; // 4 or 8
const THREAD_N = 8u;
const BUFFERS = 2u; // 1 saves memory and costs a barrier a tile
fn add_outer(sum: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> { return sum; }
struct Source { k: u32 } // what a kernel has to remember from one tile to the next
fn next_block(source: ptr<function, Source>, load: Load, step: u32) -> mat4x4<f32> { return mat4x4<f32>(); } // of tile `step`

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

var<workgroup> a_tile: array<vec4<f32>, BUFFERS * A_BUFFER>; // [buffer][k / 4] { [k % 4][i / 4], skew }
var<workgroup> b_tile: array<vec4<f32>, BUFFERS * B_BUFFER>; // [buffer][k / 4] { [k % 4][j / 4], skew }

/** The sums of a thread, [i][j] each: near, and half a tile further to the right, below, and both. */
struct Sums {
  near: mat4x4<f32>,
  right: mat4x4<f32>,
  below: mat4x4<f32>,
  far: mat4x4<f32>,
}

/** The block that a thread loads: of a, of b or none; its place in the tile in quads along k and across, and in workgroup memory. */
struct Load {
  of_a: bool,
  of_b: bool,
  k_quad: u32,
  quad: u32,
  to: u32,
}

/** @param a_along_k whether neighbouring threads load what neighbours along k in a, and not across; b_along_k the same for b */
fn load_of(thread: u32, a_along_k: bool, b_along_k: bool) -> Load {
  if (thread < A_BLOCKS) {
    let k_quad = select(thread / (TILE_M / 4u), thread % (TILE_K / 4u), a_along_k);
    let quad = select(thread % (TILE_M / 4u), thread / (TILE_K / 4u), a_along_k);
    return Load(true, false, k_quad, quad, k_quad * A_STEP + quad);
  }
  let block = thread - A_BLOCKS;
  let k_quad = select(block / (TILE_N / 4u), block % (TILE_K / 4u), b_along_k);
  let quad = select(block % (TILE_N / 4u), block / (TILE_K / 4u), b_along_k);
  return Load(false, block < B_BLOCKS, k_quad, quad, k_quad * B_STEP + quad);
}

/** Puts the block that a thread has loaded, rows of k, into a buffer of its tile. */
fn store_block(load: Load, buffer: u32, block: mat4x4<f32>) {
  if (load.of_a) {
    let into = buffer * A_BUFFER + load.to;
    a_tile[into] = block[0];
    a_tile[into + A_1] = block[1];
    a_tile[into + A_2] = block[2];
    a_tile[into + A_3] = block[3];
  } else if (load.of_b) {
    let into = buffer * B_BUFFER + load.to;
    b_tile[into] = block[0];
    b_tile[into + B_1] = block[1];
    b_tile[into + B_2] = block[2];
    b_tile[into + B_3] = block[3];
  }
}

/**
 * The quads of rows and of columns whose sums a thread has. A GPU reads workgroup memory once for threads whose numbers differ in bit 0,
 * or in bit 1, when they want the same quad.
 */
fn quads_of(thread: u32) -> vec2<u32> {
  let warp = thread / (WARP_M * WARP_N);
  return vec2<u32>(
    thread % 2u + thread / 16u % 2u * 2u + warp / (THREADS_N / WARP_N) * WARP_M,
    thread / 2u % WARP_N + warp % (THREADS_N / WARP_N) * WARP_N,
  );
}

/** Adds the products of one k: of four rows and four columns, and of those half a tile further. */
fn multiply(sums: ptr<function, Sums>, x: vec4<f32>, x_far: vec4<f32>, y: vec4<f32>, y_far: vec4<f32>) {
  (*sums).near = add_outer((*sums).near, x, y);
  if (THREAD_N > 4u) { (*sums).right = add_outer((*sums).right, x, y_far); }
  if (THREAD_M > 4u) { (*sums).below = add_outer((*sums).below, x_far, y); }
  if (THREAD_M > 4u && THREAD_N > 4u) { (*sums).far = add_outer((*sums).far, x_far, y_far); }
}

/**
 * Adds the products of the tiles in a buffer. Tint leaves out its checks of indices that follow from constants, from remainders by
 * constants and from counters with constant bounds: the remainders here change nothing.
 */
fn multiply_buffers(sums: ptr<function, Sums>, buffer: u32, quads: vec2<u32>) {
  for (var quad = 0u; quad < TILE_K / 4u; quad++) {
    let i = buffer % BUFFERS * A_BUFFER + quad * A_STEP + quads.x % (TILE_M / THREAD_M);
    let j = buffer % BUFFERS * B_BUFFER + quad * B_STEP + quads.y % THREADS_N;
    multiply(sums, a_tile[i], a_tile[i + A_FAR], b_tile[j], b_tile[j + B_FAR]);
    multiply(sums, a_tile[i + A_1], a_tile[i + A_1 + A_FAR], b_tile[j + B_1], b_tile[j + B_1 + B_FAR]);
    multiply(sums, a_tile[i + A_2], a_tile[i + A_2 + A_FAR], b_tile[j + B_2], b_tile[j + B_2 + B_FAR]);
    multiply(sums, a_tile[i + A_3], a_tile[i + A_3 + A_FAR], b_tile[j + B_3], b_tile[j + B_3 + B_FAR]);
  }
}

/**
 * Adds the products of tiles first … last − 1 along k, all threads together. While a tile is multiplied, the next is on its way from
 * storage into registers.
 */
fn multiply_tiles(sums: ptr<function, Sums>, source: ptr<function, Source>, load: Load, thread: u32, first: u32, last: u32) {
  let quads = quads_of(thread);
  var block: mat4x4<f32>;
  for (var base = first; base <= last; base += BUFFERS) {
    for (var buffer = 0u; buffer < BUFFERS; buffer++) {
      let step = base + buffer;
      if (step < last) { block = next_block(source, load, step); }
      if (first < step && step <= last) { multiply_buffers(sums, BUFFERS - 1u - buffer, quads); }
      if (BUFFERS == 1u) { workgroupBarrier(); }
      if (step < last) { store_block(load, buffer, block); }
      workgroupBarrier();
    }
  }
}
