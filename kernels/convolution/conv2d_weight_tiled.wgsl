// out[s, tap, m, n] = Σ_p image[place(p, tap), m] · g[p, n], pixels p in share s: matmul's tiles, one tap a workgroup.

alias Image = vec4<f32>;
alias Gradient = vec4<f32>;
alias Out = vec4<f32>;
const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 8u;
const THREAD_M = 8u; // 4 or 8
const THREAD_N = 8u;
struct Placing { taps: vec2<u32>, size: vec2<u32>, image_size: vec2<u32>, scale: vec2<i32>, shift: vec2<i32>, step: vec2<i32>, image_offset: u32, image_strides: vec3<u32> }
fn address_at(base: u32, place: vec2<i32>, size: vec2<u32>, strides: vec3<u32>) -> u32 { return 0u; }
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn g4(i: u32) -> vec4<f32> { return g[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }
struct Sums { near: mat4x4<f32>, right: mat4x4<f32>, below: mat4x4<f32>, far: mat4x4<f32> }
struct Load { of_a: bool, of_b: bool, k_quad: u32, quad: u32, to: u32 }
fn load_of(thread: u32, a_along_k: bool, b_along_k: bool) -> Load { return Load(); }
fn quads_of(thread: u32) -> vec2<u32> { return vec2<u32>(); }
fn multiply_tiles(sums: ptr<function, Sums>, source: ptr<function, Source>, load: Load, thread: u32, first: u32, last: u32) { }

const THREADS = TILE_M / THREAD_M * (TILE_N / THREAD_N);
const PAGE = THREADS / TILE_K; // tiles whose pixels are looked up at a time; at least 2
const NOWHERE = 0xffffffffu;

struct Params {
  pixels: u32, // batch · height · width of g
  m: u32, // channels of the image and of g
  n: u32,
  shares: u32,
  share: u32, // tiles of pixels in a share
  placing: Placing, // place = pixel of g · scale + shift + tap · step
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Image>;
@group(0) @binding(2) var<storage, read> g: array<Gradient>;
@group(0) @binding(3) var<storage, read_write> out: array<Out>;

var<workgroup> addresses: array<u32, 2u * THREADS>; // [page % 2][p % THREADS], of image pixels under the tap

/** Which thread loads blocks of which channels, from which tile of pixels on, under which tap. */
struct Source {
  thread: u32,
  first: u32,
  tap: vec2<i32>,
  channel: u32,
}

/** The address of the image's pixel that pixel p of g meets at a tap. */
fn address(p: u32, tap: vec2<i32>) -> u32 {
  let y = p / params.placing.size.y % params.placing.size.x;
  let x = p % params.placing.size.y;
  let place = vec2<i32>(vec2<u32>(y, x)) * params.placing.scale + params.placing.shift + tap * params.placing.step;
  if (p >= params.pixels) {
    return NOWHERE;
  }
  let base = params.placing.image_offset + p / params.placing.size.y / params.placing.size.x * params.placing.image_strides.x;
  return address_at(base, place, params.placing.image_size, params.placing.image_strides);
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

fn next_block(source: ptr<function, Source>, load: Load, step: u32) -> mat4x4<f32> {
  let first = (*source).first;
  let channel = (*source).channel;
  var block: mat4x4<f32>;
  if (load.of_a) {
    let at = ((step - first) * TILE_K + 4u * load.k_quad) % (2u * THREADS);
    block = mat4x4<f32>(
      gather(addresses[at], channel),
      gather(addresses[at + 1u], channel),
      gather(addresses[at + 2u], channel),
      gather(addresses[at + 3u], channel),
    );
  } else if (load.of_b) {
    let p = step * TILE_K + 4u * load.k_quad;
    block = mat4x4<f32>(
      gradient(p, channel),
      gradient(p + 1u, channel),
      gradient(p + 2u, channel),
      gradient(p + 3u, channel),
    );
  }
  if ((step - first) % PAGE == 0u) {
    let page = (step - first) / PAGE + 1u;
    let thread = (*source).thread % THREADS;
    addresses[page % 2u * THREADS + thread] = address((first + page * PAGE) * TILE_K + thread, (*source).tap);
  }
  return block;
}

/** Writes what lies inside of out of the 4 × 4 outputs from channels m and n on. */
fn write_block(slab: u32, m: u32, n: u32, block: mat4x4<f32>) {
  if (n >= params.n) { return; }
  let at = (slab * params.m + m) * params.n + n;
  let count = params.n - n;
  if (m < params.m) { write(at, block[0], count); }
  if (m + 1u < params.m) { write(at + params.n, block[1], count); }
  if (m + 2u < params.m) { write(at + 2u * params.n, block[2], count); }
  if (m + 3u < params.m) { write(at + 3u * params.n, block[3], count); }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let tiles = (vec2<u32>(params.m, params.n) + vec2<u32>(TILE_M, TILE_N) - 1u) / vec2<u32>(TILE_M, TILE_N);
  let tile = group.x + group.y * groups.x;
  let slab = tile / (tiles.x * tiles.y); // share · taps + tap
  let taps = params.placing.taps.x * params.placing.taps.y;
  if (slab >= params.shares * taps) { return; }
  let first_m = tile / tiles.y % tiles.x * TILE_M;
  let first_n = tile % tiles.y * TILE_N;
  let tap = vec2<i32>(vec2<u32>(slab % taps / params.placing.taps.y, slab % params.placing.taps.y));
  let first = slab / taps * params.share;
  let last = min(first + params.share, (params.pixels + TILE_K - 1u) / TILE_K);

  addresses[thread] = address(first * TILE_K + thread, tap);
  workgroupBarrier();

  let load = load_of(thread, false, false);
  let channel = select(first_n, first_m, load.of_a) + 4u * load.quad;
  var source = Source(thread, first, tap, channel);
  var sums: Sums;
  multiply_tiles(&sums, &source, load, thread, first, last);

  let quads = quads_of(thread);
  let m = first_m + 4u * quads.x;
  let n = first_n + 4u * quads.y;
  write_block(slab, m, n, sums.near);
  if (THREAD_N > 4u) { write_block(slab, m, n + TILE_N / 2u, sums.right); }
  if (THREAD_M > 4u) { write_block(slab, m + TILE_M / 2u, n, sums.below); }
  if (THREAD_M > 4u && THREAD_N > 4u) { write_block(slab, m + TILE_M / 2u, n + TILE_N / 2u, sums.far); }
}
