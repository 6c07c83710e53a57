// out[s, p, i, j] = Σ_k a[p, i, k] · b[p, k, j] + bias[p, i, j], k in share s: tiles in workgroup memory, sums in registers.

alias A = vec4<f32>;
alias B = vec4<f32>;
alias Bias = vec4<f32>;
alias Out = vec4<f32>;
const A_IS_TRANSPOSED = false; // whether a's contiguous axis is i and not k
const B_IS_TRANSPOSED = false; // whether b's contiguous axis is k and not j
const K_IS_RAGGED = true; // whether the last tile reaches beyond k
const HAS_BIAS = false;
const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 8u;
const THREAD_M = 8u; // 4 or 8
const THREAD_N = 8u;
struct Product { batches: u32, m: u32, n: u32, k: u32, a_step: u32, b_step: u32, bias_step: u32, out_offset: u32 }
fn matrices(product: Product, batch: u32) -> vec3<u32> { return vec3<u32>(); }
fn a4(i: u32) -> vec4<f32> { return a[i / 4u]; }
fn b4(i: u32) -> vec4<f32> { return b[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }
fn cut(block: mat4x4<f32>, end: u32) -> mat4x4<f32> { return block; }
struct Sums { near: mat4x4<f32>, right: mat4x4<f32>, below: mat4x4<f32>, far: mat4x4<f32> }
struct Load { of_a: bool, of_b: bool, k_quad: u32, quad: u32, to: u32 }
fn load_of(thread: u32, a_along_k: bool, b_along_k: bool) -> Load { return Load(); }
fn quads_of(thread: u32) -> vec2<u32> { return vec2<u32>(); }
fn multiply_tiles(sums: ptr<function, Sums>, source: ptr<function, Source>, load: Load, thread: u32, first: u32, last: u32) { }

const THREADS = TILE_M / THREAD_M * (TILE_N / THREAD_N);

struct Params {
  product: Product,
  shares: u32,
  share: u32, // tiles of k in a share
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read_write> out: array<Out>;


/** Where a thread's next block is: its first k, the addresses of its four runs, and how far these are from one tile to the next. */
struct Source {
  k: u32,
  at: vec4<u32>,
  advance: u32,
}

/** Addresses of the four runs of a block; runs along k of rows beyond the matrix are those of its last row. */
fn runs(start: u32, step: u32, along_k: bool, k: u32, i: u32, size: u32) -> vec4<u32> {
  let lanes = vec4<u32>(0u, 1u, 2u, 3u);
  if (along_k) {
    return start + min(i + lanes, vec4<u32>(size - 1u)) * step + k;
  }
  return start + (k + lanes) * step + i;
}

fn next_block(source: ptr<function, Source>, load: Load, step: u32) -> mat4x4<f32> {
  let at = (*source).at;
  var block: mat4x4<f32>;
  if (load.of_a) {
    block = mat4x4<f32>(a4(at.x), a4(at.y), a4(at.z), a4(at.w));
    if (!A_IS_TRANSPOSED) { block = transpose(block); }
  } else if (load.of_b) {
    block = mat4x4<f32>(b4(at.x), b4(at.y), b4(at.z), b4(at.w));
    if (B_IS_TRANSPOSED) { block = transpose(block); }
  }
  if (K_IS_RAGGED) { block = cut(block, max(params.product.k, (*source).k) - (*source).k); }
  (*source).at += vec4<u32>((*source).advance);
  (*source).k += TILE_K;
  return block;
}

/** Writes what lies inside of out of the 4 × 4 outputs from row i and column j on; the first share adds the bias. */
fn write_block(slab: u32, bias_at: u32, i: u32, j: u32, block: mat4x4<f32>) {
  if (j < params.product.n) {
    write_row(slab, bias_at, i, j, block[0]);
    write_row(slab, bias_at, i + 1u, j, block[1]);
    write_row(slab, bias_at, i + 2u, j, block[2]);
    write_row(slab, bias_at, i + 3u, j, block[3]);
  }
}

fn write_row(slab: u32, bias_at: u32, i: u32, j: u32, sums: vec4<f32>) {
  if (i >= params.product.m) { return; }
  var x = sums;
  if (HAS_BIAS && slab < params.product.batches) { x += bias4(bias_at + i * params.product.bias_step + j); }
  write(params.product.out_offset + (slab * params.product.m + i) * params.product.n + j, x, params.product.n - j);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let tiles = (vec2<u32>(params.product.m, params.product.n) + vec2<u32>(TILE_M, TILE_N) - 1u) / vec2<u32>(TILE_M, TILE_N);
  let tile = group.x + group.y * groups.x;
  let slab = tile / (tiles.x * tiles.y); // share · batches + batch
  if (slab >= params.shares * params.product.batches) { return; }
  let first_row = tile / tiles.y % tiles.x * TILE_M;
  let first_column = tile % tiles.y * TILE_N;
  let first = slab / params.product.batches * params.share;
  let last = min(first + params.share, (params.product.k + TILE_K - 1u) / TILE_K);

  let start = matrices(params.product, slab % params.product.batches);
  let load = load_of(thread, !A_IS_TRANSPOSED, B_IS_TRANSPOSED);
  let k = first * TILE_K + 4u * load.k_quad;
  var source = Source(k, vec4<u32>(), TILE_K);
  if (load.of_a) {
    source.at = runs(start.x, params.product.a_step, !A_IS_TRANSPOSED, k, first_row + 4u * load.quad, params.product.m);
    source.advance = select(TILE_K, TILE_K * params.product.a_step, A_IS_TRANSPOSED);
  } else if (load.of_b) {
    source.at = runs(start.y, params.product.b_step, B_IS_TRANSPOSED, k, first_column + 4u * load.quad, params.product.n);
    source.advance = select(TILE_K * params.product.b_step, TILE_K, B_IS_TRANSPOSED);
  }
  var sums: Sums;
  multiply_tiles(&sums, &source, load, thread, first, last);

  let quads = quads_of(thread);
  let row = first_row + 4u * quads.x;
  let column = first_column + 4u * quads.y;
  write_block(slab, start.z, row, column, sums.near);
  if (THREAD_N > 4u) { write_block(slab, start.z, row, column + TILE_N / 2u, sums.right); }
  if (THREAD_M > 4u) { write_block(slab, start.z, row + TILE_M / 2u, column, sums.below); }
  if (THREAD_M > 4u && THREAD_N > 4u) {
    write_block(slab, start.z, row + TILE_M / 2u, column + TILE_N / 2u, sums.far);
  }
}
