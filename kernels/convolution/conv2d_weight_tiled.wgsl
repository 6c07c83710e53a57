// out[s, tap, m, n] = Σ_p image[place(p, tap), m] · g[p, n], pixels p in share s: matmul's tiles, one tap a workgroup.

alias Image = vec4<f32>;
alias Gradient = vec4<f32>;
alias Out = vec4<f32>;
const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 8u;
const THREAD_M = 8u; // 4 or 8
const THREAD_N = 8u;
const BUFFERS = 2u; // 1 saves memory and costs a barrier a tile
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn g4(i: u32) -> vec4<f32> { return g[i / 4u]; }
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

const PAGE = THREADS / TILE_K; // tiles whose pixels are looked up at a time; at least 2
const NOWHERE = 0xffffffffu;

struct Params {
  pixels: u32, // batch · height · width of g
  m: u32, // channels of the image and of g
  n: u32,
  shares: u32,
  share: u32, // tiles of pixels in a share
  taps: vec2<u32>,
  size: vec2<u32>, // height and width of g
  image_size: vec2<u32>,
  scale: vec2<i32>, // place = pixel of g · scale + shift + tap · step
  shift: vec2<i32>,
  step: vec2<i32>,
  image_offset: u32,
  image_strides: vec3<u32>, // of batch, rows and columns
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Image>;
@group(0) @binding(2) var<storage, read> g: array<Gradient>;
@group(0) @binding(3) var<storage, read_write> out: array<Out>;

var<workgroup> a_tile: array<vec4<f32>, BUFFERS * A_BUFFER>; // [buffer][p / 4] { [p % 4][m / 4], skew }
var<workgroup> b_tile: array<vec4<f32>, BUFFERS * B_BUFFER>; // [buffer][p / 4] { [p % 4][n / 4], skew }
var<workgroup> addresses: array<u32, 2u * THREADS>; // [page % 2][p % THREADS], of image pixels under the tap

/** The sums of a thread, [m][n] each: near, and half a tile further to the right, below, and both. */
struct Sums {
  near: mat4x4<f32>,
  right: mat4x4<f32>,
  below: mat4x4<f32>,
  far: mat4x4<f32>,
}

/** The address of the image's pixel that pixel p of g meets at a tap. */
fn address(p: u32, tap: vec2<i32>) -> u32 {
  let y = p / params.size.y % params.size.x;
  let x = p % params.size.y;
  let place = vec2<i32>(vec2<u32>(y, x)) * params.scale + params.shift + tap * params.step;
  if (p >= params.pixels || any(place < vec2<i32>(0)) || any(vec2<u32>(place) >= params.image_size)) {
    return NOWHERE;
  }
  let base = params.image_offset + p / params.size.y / params.size.x * params.image_strides.x;
  return base + u32(place.x) * params.image_strides.y + u32(place.y) * params.image_strides.z;
}

fn gather(at: u32, m: u32) -> vec4<f32> {
  if (at == NOWHERE) {
    return vec4<f32>();
  }
  return image4(at + m);
}

/** Four channels of a pixel of g; zeros beyond the last, since the image has zeros there and storage may hold NaN. */
fn gradient(p: u32, n: u32) -> vec4<f32> {
  if (p >= params.pixels) {
    return vec4<f32>();
  }
  return g4(p * params.n + n);
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

/** Writes what lies inside of out of the 4 × 4 outputs from channels m and n on. */
fn write_block(slab: u32, m: u32, n: u32, block: mat4x4<f32>) {
  if (n >= params.n) {
    return;
  }
  let at = (slab * params.m + m) * params.n + n;
  let count = params.n - n;
  if (m < params.m) { write(at, block[0], count); }
  if (m + 1u < params.m) { write(at + params.n, block[1], count); }
  if (m + 2u < params.m) { write(at + 2u * params.n, block[2], count); }
  if (m + 3u < params.m) { write(at + 3u * params.n, block[3], count); }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tiles = (vec2<u32>(params.m, params.n) + vec2<u32>(TILE_M, TILE_N) - 1u) / vec2<u32>(TILE_M, TILE_N);
  let tile = group.x + group.y * groups.x;
  let slab = tile / (tiles.x * tiles.y); // share · taps + tap
  let taps = params.taps.x * params.taps.y;
  if (slab >= params.shares * taps) {
    return;
  }
  let first_m = tile / tiles.y % tiles.x * TILE_M;
  let first_n = tile % tiles.y * TILE_N;
  let tap = vec2<i32>(vec2<u32>(slab % taps / params.taps.y, slab % params.taps.y));
  let first = slab / taps * params.share;
  let last = min(first + params.share, (params.pixels + TILE_K - 1u) / TILE_K);

  addresses[thread] = address(first * TILE_K + thread, tap);
  workgroupBarrier();

  // Threads load one block each, four pixels of the image or of g; `to` is its place in the tile.
  let loads_a = thread < A_BLOCKS;
  let loads_b = !loads_a && thread < A_BLOCKS + B_BLOCKS;
  var p_quad = thread / (TILE_M / 4u);
  var channel = first_m + thread % (TILE_M / 4u) * 4u;
  var to = p_quad * A_STEP + thread % (TILE_M / 4u);
  if (loads_b) {
    let block = thread - A_BLOCKS;
    p_quad = block / (TILE_N / 4u);
    channel = first_n + block % (TILE_N / 4u) * 4u;
    to = p_quad * B_STEP + block % (TILE_N / 4u);
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
        let done = step - first;
        if (loads_a) {
          let at = (done * TILE_K + 4u * p_quad) % (2u * THREADS);
          block = mat4x4<f32>(
            gather(addresses[at], channel),
            gather(addresses[at + 1u], channel),
            gather(addresses[at + 2u], channel),
            gather(addresses[at + 3u], channel),
          );
        } else if (loads_b) {
          let p = step * TILE_K + 4u * p_quad;
          block = mat4x4<f32>(
            gradient(p, channel),
            gradient(p + 1u, channel),
            gradient(p + 2u, channel),
            gradient(p + 3u, channel),
          );
        }
        if (done % PAGE == 0u) {
          let page = done / PAGE + 1u;
          addresses[page % 2u * THREADS + thread] = address((first + page * PAGE) * TILE_K + thread, tap);
        }
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

  let m = first_m + 4u * thread_m;
  let n = first_n + 4u * thread_n;
  write_block(slab, m, n, sums.near);
  if (THREAD_N > 4u) { write_block(slab, m, n + TILE_N / 2u, sums.right); }
  if (THREAD_M > 4u) { write_block(slab, m + TILE_M / 2u, n, sums.below); }
  if (THREAD_M > 4u && THREAD_N > 4u) { write_block(slab, m + TILE_M / 2u, n + TILE_N / 2u, sums.far); }
}
