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
struct Placing { taps: vec2<u32>, size: vec2<u32>, image_size: vec2<u32>, scale: vec2<i32>, shift: vec2<i32>, step: vec2<i32>, image_offset: u32, image_strides: vec3<u32> }
fn address_at(base: u32, place: vec2<i32>, size: vec2<u32>, strides: vec3<u32>) -> u32 { return 0u; }
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn weight4(i: u32) -> vec4<f32> { return weight[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }
fn cut(block: mat4x4<f32>, end: u32) -> mat4x4<f32> { return block; }
struct Sums { near: mat4x4<f32>, right: mat4x4<f32>, below: mat4x4<f32>, far: mat4x4<f32> }
struct Load { of_a: bool, of_b: bool, k_quad: u32, quad: u32, to: u32 }
fn load_of(thread: u32, a_along_k: bool, b_along_k: bool) -> Load { return Load(); }
fn quads_of(thread: u32) -> vec2<u32> { return vec2<u32>(); }
fn multiply_tiles(sums: ptr<function, Sums>, source: ptr<function, Source>, load: Load, thread: u32, first: u32, last: u32) { }

const THREADS = TILE_M / THREAD_M * (TILE_N / THREAD_N); // at least TILE_M
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
  placing: Placing, // place = (result pixel · scale + shift + tap · step) / SPREAD
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

/** Where a thread's next block is. */
struct Source {
  kind: Class,
  at: vec4<u32>, // of the pixels under the present tap, or of the weights' runs from their tap on
  is_under: bool, // whether `at` and `weight_at` are those of a tap already
  weight_at: u32, // of the present tap
  tap: u32,
  c: u32,
}

fn class_of(index: u32) -> Class {
  let residue = vec2<u32>(index / SPREAD_X, index % SPREAD_X);
  let corner = vec2<i32>(residue) * params.placing.scale + params.placing.shift;
  let spread = vec2<i32>(SPREAD);
  var tap = vec2<u32>();
  while (tap.x < params.placing.taps.x && (corner.x + i32(tap.x) * params.placing.step.x) % spread.x != 0) { tap.x++; }
  while (tap.y < params.placing.taps.y && (corner.y + i32(tap.y) * params.placing.step.y) % spread.y != 0) { tap.y++; }
  return Class(
    residue,
    (params.placing.size + SPREAD - 1u) / SPREAD,
    tap,
    (params.placing.taps - tap + TAP - 1u) / TAP,
    (corner + vec2<i32>(tap) * params.placing.step) / spread,
    vec2<i32>(TAP) * params.placing.step / spread,
  );
}

fn origin(kind: Class, p: u32) -> Origin {
  if (p >= params.pixels) {
    return Origin(0u, vec2<i32>(-0x40000000));
  }
  let y = p / kind.size.y % kind.size.x;
  let x = p % kind.size.y;
  let base = params.placing.image_offset + p / kind.size.y / kind.size.x * params.placing.image_strides.x;
  return Origin(base, vec2<i32>(vec2<u32>(y, x)) * params.placing.scale + kind.shift);
}

/** The address of the pixel under tap k of a kind. */
fn address(start: Origin, k: vec2<u32>, step: vec2<i32>) -> u32 {
  let place = start.place + vec2<i32>(k) * step;
  return address_at(start.base, place, params.placing.image_size, params.placing.image_strides);
}

fn gather(at: u32, c: u32) -> vec4<f32> {
  if (at == NOWHERE) {
    return vec4<f32>();
  }
  return image4(at + c);
}

fn next_block(source: ptr<function, Source>, load: Load, step: u32) -> mat4x4<f32> {
  let c = (*source).c;
  let channel = c + 4u * load.k_quad;
  if (c == 0u || !(*source).is_under) {
    let kind = (*source).kind;
    let k = vec2<u32>((*source).tap / kind.taps.y, (*source).tap % kind.taps.y);
    let under = kind.tap + k * TAP;
    (*source).is_under = true;
    (*source).weight_at = (under.x * params.placing.taps.y + under.y) * params.weight_tap;
    if (load.of_a) {
      (*source).at.x = address(origins[4u * load.quad], k, kind.step);
      (*source).at.y = address(origins[4u * load.quad + 1u], k, kind.step);
      (*source).at.z = address(origins[4u * load.quad + 2u], k, kind.step);
      (*source).at.w = address(origins[4u * load.quad + 3u], k, kind.step);
    }
  }
  let at = (*source).at;
  var block: mat4x4<f32>;
  if (load.of_a) {
    block = transpose(mat4x4<f32>(
      gather(at.x, channel),
      gather(at.y, channel),
      gather(at.z, channel),
      gather(at.w, channel),
    ));
  } else if (load.of_b) {
    let runs = at + ((*source).weight_at + select(c * params.weight_step, c, WEIGHT_IS_TRANSPOSED));
    block = mat4x4<f32>(weight4(runs.x), weight4(runs.y), weight4(runs.z), weight4(runs.w));
    if (WEIGHT_IS_TRANSPOSED) { block = transpose(block); }
  }
  if (C_IS_RAGGED) { block = cut(block, max(params.c, channel) - channel); }
  (*source).c += TILE_K;
  if ((*source).c >= params.c) {
    (*source).c = 0u;
    (*source).tap++;
  }
  return block;
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
  if (p >= params.pixels) { return; }
  var at = share * params.pixels + p;
  var bias_at = params.bias_offset + n;
  if (CLASSES > 1u || BIAS_VARIES) {
    let image = p / kind.size.y / kind.size.x;
    let place = vec2<u32>(p / kind.size.y % kind.size.x, p % kind.size.y) * SPREAD + kind.residue;
    if (any(place >= params.placing.size)) {
      return;
    }
    at = ((share * params.batch + image) * params.placing.size.x + place.x) * params.placing.size.y + place.y;
    bias_at += dot(vec3<u32>(image, place), params.bias_strides);
  }
  var x = sums;
  if (HAS_BIAS && share == 0u) { x += bias4(bias_at); }
  write(at * params.n + n, x, params.n - n);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let tiles = (vec2<u32>(params.pixels, params.n) + vec2<u32>(TILE_M, TILE_N) - 1u) / vec2<u32>(TILE_M, TILE_N);
  let tile = group.x + group.y * groups.x;
  let slab = tile / (tiles.x * tiles.y); // share · CLASSES + class
  let share = slab / CLASSES;
  if (share >= params.shares) { return; }
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

  let load = load_of(thread, true, WEIGHT_IS_TRANSPOSED);
  var source: Source;
  source.kind = kind;
  source.tap = first / max(1u, tap_tiles);
  source.c = first % max(1u, tap_tiles) * TILE_K;
  if (load.of_b) {
    let lanes = vec4<u32>(0u, 1u, 2u, 3u);
    let n = first_n + 4u * load.quad;
    if (WEIGHT_IS_TRANSPOSED) {
      source.at = min(n + lanes, vec4<u32>(params.n - 1u)) * params.weight_step + 4u * load.k_quad;
    } else {
      source.at = (4u * load.k_quad + lanes) * params.weight_step + n;
    }
  }
  var sums: Sums;
  multiply_tiles(&sums, &source, load, thread, first, last);

  let quads = quads_of(thread);
  let p = first_pixel + 4u * quads.x;
  let n = first_n + 4u * quads.y;
  write_block(kind, share, p, n, sums.near);
  if (THREAD_N > 4u) { write_block(kind, share, p, n + TILE_N / 2u, sums.right); }
  if (THREAD_M > 4u) { write_block(kind, share, p + TILE_M / 2u, n, sums.below); }
  if (THREAD_M > 4u && THREAD_N > 4u) { write_block(kind, share, p + TILE_M / 2u, n + TILE_N / 2u, sums.far); }
}
