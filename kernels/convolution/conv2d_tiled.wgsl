// out[s, p, n] = Σ_{tap, c} image[place(p, tap), c] · weight[tap, c, n] + bias[p, n], (tap, c) in share s: matmul's tiles.

alias Image = vec4<f32>;
alias Weight = vec4<f32>;
alias Bias = vec4<f32>;
alias Out = vec4<f32>;
const WEIGHT_IS_TRANSPOSED = false; // whether weight is [tap, n, c]
const C_IS_RAGGED = true; // whether the last tile of a tap reaches beyond c
const SPREAD_Y = 1u; // the image's rows stand this far apart, with zeros between; rows alike modulo this meet the same taps,
const SPREAD_X = 1u;
const TAP_Y = 1u; // every so many of them
const TAP_X = 1u;
const HAS_BIAS = false;
const BIAS_VARIES = false; // whether it differs from pixel to pixel
const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 8u;
const THREAD_M = 8u; // 4 or 8
const THREAD_N = 8u;
const BUFFERS = 2u; // 1 saves memory and costs a barrier a tile
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn weight4(i: u32) -> vec4<f32> { return weight[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }

const THREADS_N = TILE_N / THREAD_N; // a multiple of WARP_N
const THREADS = TILE_M / THREAD_M * THREADS_N; // at least A_BLOCKS + B_BLOCKS, and TILE_M
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

const NOWHERE = 0xffffffffu;
const SPREAD = vec2<u32>(SPREAD_Y, SPREAD_X);
const CLASSES = SPREAD_Y * SPREAD_X;
const TAP = vec2<u32>(TAP_Y, TAP_X);

struct Params {
  pixels: u32, // of the result, in the largest class of those that meet the same taps
  batch: u32,
  n: u32, // channels of the result and of the image
  c: u32,
  shares: u32,
  taps: vec2<u32>,
  size: vec2<u32>, // height and width of the result
  image_size: vec2<u32>,
  scale: vec2<i32>, // place = (result pixel · scale + shift + tap · step) / SPREAD
  shift: vec2<i32>,
  step: vec2<i32>,
  image_offset: u32,
  image_strides: vec3<u32>, // of batch, rows and columns
  weight_step: u32, // from one contiguous run of the weights to the next
  weight_tap: u32,
  bias_offset: u32,
  bias_strides: vec3<u32>, // of batch, rows and columns
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Image>;
@group(0) @binding(2) var<storage, read> weight: array<Weight>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read_write> out: array<Out>;

var<workgroup> a_tile: array<vec4<f32>, BUFFERS * A_BUFFER>; // [buffer][k / 4] { [k % 4][i / 4], skew }
var<workgroup> b_tile: array<vec4<f32>, BUFFERS * B_BUFFER>; // [buffer][k / 4] { [k % 4][j / 4], skew }
var<workgroup> origins: array<Origin, TILE_M>; // [p]

/** The pixels of the result that meet the same taps: which they are, and the taps; place = index · scale + shift + k · step. */
struct Class {
  residue: vec2<u32>, // of the pixels, modulo SPREAD
  size: vec2<u32>, // height and width of the largest class
  tap: vec2<u32>, // the first one
  taps: vec2<u32>, // how many there are: tap + k · TAP
  shift: vec2<i32>,
  step: vec2<i32>,
}

/** A pixel of the result: where its image begins in storage, and where its first tap falls. */
struct Origin {
  base: u32,
  place: vec2<i32>,
}

/** The sums of a thread, [i][j] each: near, and half a tile further to the right, below, and both. */
struct Sums {
  near: mat4x4<f32>,
  right: mat4x4<f32>,
  below: mat4x4<f32>,
  far: mat4x4<f32>,
}

fn class_of(index: u32) -> Class {
  let residue = vec2<u32>(index / SPREAD_X, index % SPREAD_X);
  let corner = vec2<i32>(residue) * params.scale + params.shift;
  let spread = vec2<i32>(SPREAD);
  var tap = vec2<u32>();
  while (tap.x < params.taps.x && (corner.x + i32(tap.x) * params.step.x) % spread.x != 0) { tap.x++; }
  while (tap.y < params.taps.y && (corner.y + i32(tap.y) * params.step.y) % spread.y != 0) { tap.y++; }
  return Class(
    residue,
    (params.size + SPREAD - 1u) / SPREAD,
    tap,
    (params.taps - tap + TAP - 1u) / TAP,
    (corner + vec2<i32>(tap) * params.step) / spread,
    vec2<i32>(TAP) * params.step / spread,
  );
}

fn origin(kind: Class, p: u32) -> Origin {
  if (p >= params.pixels) {
    return Origin(0u, vec2<i32>(-0x40000000));
  }
  let y = p / kind.size.y % kind.size.x;
  let x = p % kind.size.y;
  let base = params.image_offset + p / kind.size.y / kind.size.x * params.image_strides.x;
  return Origin(base, vec2<i32>(vec2<u32>(y, x)) * params.scale + kind.shift);
}

/** The address of the pixel under tap k of a kind. */
fn address(start: Origin, k: vec2<u32>, step: vec2<i32>) -> u32 {
  let place = start.place + vec2<i32>(k) * step;
  if (any(place < vec2<i32>(0)) || any(vec2<u32>(place) >= params.image_size)) {
    return NOWHERE;
  }
  return start.base + u32(place.x) * params.image_strides.y + u32(place.y) * params.image_strides.z;
}

fn gather(at: u32, c: u32) -> vec4<f32> {
  if (at == NOWHERE) {
    return vec4<f32>();
  }
  return image4(at + c);
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

/** Writes what lies inside of out of the 4 × 4 outputs from pixel p of a class and channel n on. */
fn write_block(kind: Class, share: u32, p: u32, n: u32, block: mat4x4<f32>) {
  if (n < params.n) {
    write_pixel(kind, share, p, n, block[0]);
    write_pixel(kind, share, p + 1u, n, block[1]);
    write_pixel(kind, share, p + 2u, n, block[2]);
    write_pixel(kind, share, p + 3u, n, block[3]);
  }
}

fn write_pixel(kind: Class, share: u32, p: u32, n: u32, sums: vec4<f32>) {
  if (p >= params.pixels) {
    return;
  }
  var at = share * params.pixels + p;
  var bias_at = params.bias_offset + n;
  if (CLASSES > 1u || BIAS_VARIES) {
    let image = p / kind.size.y / kind.size.x;
    let place = vec2<u32>(p / kind.size.y % kind.size.x, p % kind.size.y) * SPREAD + kind.residue;
    if (any(place >= params.size)) {
      return;
    }
    at = ((share * params.batch + image) * params.size.x + place.x) * params.size.y + place.y;
    bias_at += dot(vec3<u32>(image, place), params.bias_strides);
  }
  var x = sums;
  if (HAS_BIAS && share == 0u) { x += bias4(bias_at); }
  write(at * params.n + n, x, params.n - n);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tiles = (vec2<u32>(params.pixels, params.n) + vec2<u32>(TILE_M, TILE_N) - 1u) / vec2<u32>(TILE_M, TILE_N);
  let tile = group.x + group.y * groups.x;
  let slab = tile / (tiles.x * tiles.y); // share · CLASSES + class
  let share = slab / CLASSES;
  if (share >= params.shares) {
    return;
  }
  let kind = class_of(slab % CLASSES);
  let first_pixel = tile / tiles.y % tiles.x * TILE_M;
  let first_n = tile % tiles.y * TILE_N;
  let tap_tiles = (params.c + TILE_K - 1u) / TILE_K;
  let steps = kind.taps.x * kind.taps.y * tap_tiles;
  let length = (steps + params.shares - 1u) / params.shares;
  let first = min(share * length, steps);
  let last = min(first + length, steps);

  if (thread < TILE_M) {
    origins[thread] = origin(kind, first_pixel + thread);
  }
  workgroupBarrier();

  // Threads load one block each, of the image or of the weights; `to` is its place in the tile.
  let lanes = vec4<u32>(0u, 1u, 2u, 3u);
  let loads_a = thread < A_BLOCKS;
  let loads_b = !loads_a && thread < A_BLOCKS + B_BLOCKS;
  var c_quad = thread % (TILE_K / 4u);
  var quad = thread / (TILE_K / 4u);
  var to = c_quad * A_STEP + quad;
  var at = vec4<u32>(); // of the pixels under the present tap, or of the weights' runs from their tap on
  var weight_at = 0u; // of the present tap
  if (loads_b) {
    let block = thread - A_BLOCKS;
    c_quad = select(block / (TILE_N / 4u), block % (TILE_K / 4u), WEIGHT_IS_TRANSPOSED);
    quad = select(block % (TILE_N / 4u), block / (TILE_K / 4u), WEIGHT_IS_TRANSPOSED);
    to = c_quad * B_STEP + quad;
    let n = first_n + 4u * quad;
    if (WEIGHT_IS_TRANSPOSED) {
      at = min(n + lanes, vec4<u32>(params.n - 1u)) * params.weight_step + 4u * c_quad;
    } else {
      at = (4u * c_quad + lanes) * params.weight_step + n;
    }
  }

  // A GPU reads workgroup memory once for threads whose numbers differ in bit 0, or in bit 1, when they want the same quad.
  let warp = thread / (WARP_M * WARP_N);
  let thread_m = thread % 2u + thread / 16u % 2u * 2u + warp / (THREADS_N / WARP_N) * WARP_M;
  let thread_n = thread / 2u % WARP_N + warp % (THREADS_N / WARP_N) * WARP_N;

  var sums: Sums;
  var block: mat4x4<f32>;
  var tap = first / max(1u, tap_tiles);
  var c = first % max(1u, tap_tiles) * TILE_K;
  // While a tile is multiplied, the next is on its way from storage into registers.
  // Tint leaves out its checks of indices made of constants, this thread's number and counters with constant bounds.
  for (var base = first; base <= last; base += BUFFERS) {
    for (var buffer = 0u; buffer < BUFFERS; buffer++) {
      let step = base + buffer;
      if (step < last) {
        let channel = c + 4u * c_quad;
        if (c == 0u || step == first) {
          let k = vec2<u32>(tap / kind.taps.y, tap % kind.taps.y);
          let under = kind.tap + k * TAP;
          weight_at = (under.x * params.taps.y + under.y) * params.weight_tap;
          if (loads_a) {
            at.x = address(origins[4u * quad], k, kind.step);
            at.y = address(origins[4u * quad + 1u], k, kind.step);
            at.z = address(origins[4u * quad + 2u], k, kind.step);
            at.w = address(origins[4u * quad + 3u], k, kind.step);
          }
        }
        if (loads_a) {
          block = transpose(mat4x4<f32>(
            gather(at.x, channel),
            gather(at.y, channel),
            gather(at.z, channel),
            gather(at.w, channel),
          ));
        } else if (loads_b) {
          let runs = at + (weight_at + select(c * params.weight_step, c, WEIGHT_IS_TRANSPOSED));
          block = mat4x4<f32>(weight4(runs.x), weight4(runs.y), weight4(runs.z), weight4(runs.w));
          if (WEIGHT_IS_TRANSPOSED) { block = transpose(block); }
        }
        if (C_IS_RAGGED) { block = cut(block, max(params.c, channel) - channel); }
        c += TILE_K;
        if (c >= params.c) {
          c = 0u;
          tap++;
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

  let p = first_pixel + 4u * thread_m;
  let n = first_n + 4u * thread_n;
  write_block(kind, share, p, n, sums.near);
  if (THREAD_N > 4u) { write_block(kind, share, p, n + TILE_N / 2u, sums.right); }
  if (THREAD_M > 4u) { write_block(kind, share, p + TILE_M / 2u, n, sums.below); }
  if (THREAD_M > 4u && THREAD_N > 4u) { write_block(kind, share, p + TILE_M / 2u, n + TILE_N / 2u, sums.far); }
}
