// out[s, p, i, j] = Σ_{tap, k} a[place(i or k, tap), k or i] · b[tap, k, j] + bias[i, j]: halves, by the matrix units of subgroups.
enable f16;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Half = f16;
alias A = vec4<Half>;
alias B = vec4<Half>;
alias Bias = vec4<f32>;
alias Out = vec4<f32>;
const A_IS_TRANSPOSED = false; // whether a's contiguous axis is i: then its pixels are the k
const B_IS_TRANSPOSED = false; // whether b's contiguous axis is k
const TAPS_ARE_BATCHES = false; // whether each tap is a product of its own
const HAS_BIAS = false;
const M = 16u; // sizes of the matrices that a subgroup multiplies: M × K and K × N
const N = 16u;
const K = 16u;
const TILE_M = 64u;
const TILE_N = 64u;
const TILE_K = 32u;
const GRID_M = 2u; // subgroups that make a tile
const GRID_N = 2u;
const SUBGROUP = 32u; // threads of one
struct Placing { taps: vec2<u32>, size: vec2<u32>, image_size: vec2<u32>, scale: vec2<i32>, shift: vec2<i32>, step: vec2<i32>, image_offset: u32, image_strides: vec3<u32> }
fn address_at(base: u32, place: vec2<i32>, size: vec2<u32>, strides: vec3<u32>) -> u32 { return 0u; }
fn a4(i: u32) -> vec4<Half> { return a[i / 4u]; }
fn b4(i: u32) -> vec4<Half> { return b[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }
alias Left = subgroup_matrix_left<Half, K, M>;
alias Right = subgroup_matrix_right<Half, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;
fn load_left(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&a_tile, at, A_STEP); }
fn load_right(at: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&b_tile, at, B_STEP); }
fn multiply(x: Left, y: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(x, y, sum); }
fn store(at: u32, sum: Sum) { subgroupMatrixStore<row_major>(&c_tile, at, sum, N); }
// Without loops: matrices in an array with an index that is known at run time only lie in memory, not in registers.
fn accumulate(sums: ptr<function, Sums>, k: u32, corner: vec2<u32>) { let y0 = right(k, corner.y, 0u); let y1 = right(k, corner.y, 1u); let x0 = left(k, corner.x, 0u); (*sums)[0] = multiply(x0, y0, (*sums)[0]); (*sums)[1] = multiply(x0, y1, (*sums)[1]); let x1 = left(k, corner.x, 1u); (*sums)[2] = multiply(x1, y0, (*sums)[2]); (*sums)[3] = multiply(x1, y1, (*sums)[3]); }
fn write_sums(sums: ptr<function, Sums>, at: Place) { write_sum((*sums)[0], at, 0u, 0u); write_sum((*sums)[1], at, 0u, 1u); write_sum((*sums)[2], at, 1u, 0u); write_sum((*sums)[3], at, 1u, 1u); }

const THREADS = GRID_M * GRID_N * SUBGROUP;
const ROWS = TILE_M / GRID_M / M; // matrices of a subgroup
const COLUMNS = TILE_N / GRID_N / N;
const SKEW = 8u; // halves that keep rows of a tile from meeting in one bank
const A_RUNS = select(TILE_M, TILE_K, A_IS_TRANSPOSED);
const A_LENGTH = select(TILE_K, TILE_M, A_IS_TRANSPOSED);
const A_STEP = A_LENGTH + SKEW;
const B_RUNS = select(TILE_K, TILE_N, B_IS_TRANSPOSED);
const B_LENGTH = select(TILE_N, TILE_K, B_IS_TRANSPOSED);
const B_STEP = B_LENGTH + SKEW;
const NOWHERE = 0xffffffffu;
const A_QUADS = A_RUNS * A_LENGTH / 4u;
const B_QUADS = B_RUNS * B_LENGTH / 4u;
const A_EACH = (A_QUADS + THREADS - 1u) / THREADS; // quads that a thread fetches
const B_EACH = (B_QUADS + THREADS - 1u) / THREADS;
alias Sums = array<Sum, ROWS * COLUMNS>;

struct Params {
  batches: u32,
  m: u32,
  n: u32,
  k: u32, // under each tap
  shares: u32,
  placing: Placing, // place = pixel · scale + shift + tap · step
  a_batch: u32, // from one product's matrix to the next
  b_offset: u32,
  b_step: u32, // from one contiguous run of b to the next
  b_tap: u32,
  b_batch: u32,
  bias_offset: u32,
  bias_strides: vec3<u32>, // of images, rows and columns
  bias_batch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read_write> out: array<Out>;

var<workgroup> a_tile: array<Half, A_RUNS * A_STEP>; // [i][k], or [k][i] where a is transposed
var<workgroup> b_tile: array<Half, B_RUNS * B_STEP>; // [k][j], or [j][k]
var<workgroup> c_tile: array<f32, GRID_M * GRID_N * M * N>; // [subgroup][i][j] of one matrix each
var<workgroup> origins: array<Origin, A_RUNS>; // of a's runs

/** A pixel of a: where its image begins in storage, and where its first tap falls. */
struct Origin {
  base: u32,
  place: vec2<i32>,
}

fn origin(p: u32, pixels: u32) -> Origin {
  if (p >= pixels) {
    return Origin(0u, vec2<i32>(-0x40000000));
  }
  let size = params.placing.size;
  let pixel = vec2<u32>(p / size.y % size.x, p % size.y);
  let base = params.placing.image_offset + p / size.y / size.x * params.placing.image_strides.x;
  return Origin(base, vec2<i32>(pixel) * params.placing.scale + params.placing.shift);
}

/** The address of the pixel under a tap. */
fn address(start: Origin, under: vec2<i32>) -> u32 {
  return address_at(start.base, start.place + under, params.placing.image_size, params.placing.image_strides);
}

/** The matrix of a in row r of a subgroup's, which begin at row `first`. */
fn left(k: u32, first: u32, r: u32) -> Left {
  let row = first + r * M;
  return load_left(select(row * A_STEP + k, k * A_STEP + row, A_IS_TRANSPOSED));
}

/** The matrix of b in column c of a subgroup's, which begin at column `first`. */
fn right(k: u32, first: u32, c: u32) -> Right {
  let column = first + c * N;
  return load_right(select(k * B_STEP + column, column * B_STEP + k, B_IS_TRANSPOSED));
}

/** What a step adds: a tap of a batch, and the TILE_K terms from k on. */
struct Step {
  batch: u32,
  tap: u32,
  k: u32,
}

fn step_of(step: u32, batch: u32) -> Step {
  let k_tiles = (params.k + TILE_K - 1u) / TILE_K;
  return Step(batch, select(step / k_tiles, batch, TAPS_ARE_BATCHES), step % k_tiles * TILE_K);
}

fn fetch_a(quad: u32, first_i: u32, step: Step) -> vec4<Half> {
  let along = quad % (A_LENGTH / 4u) * 4u + select(step.k, first_i, A_IS_TRANSPOSED);
  let end = select(params.k, params.m, A_IS_TRANSPOSED);
  let under = vec2<i32>(vec2<u32>(step.tap / params.placing.taps.y, step.tap % params.placing.taps.y)) * params.placing.step;
  let at = address(origins[min(quad / (A_LENGTH / 4u), A_RUNS - 1u)], under);
  if (quad >= A_QUADS || at == NOWHERE || along >= end) {
    return vec4<Half>();
  }
  return cut_lanes(a4(at + step.batch * params.a_batch + along), end - along);
}

fn fetch_b(quad: u32, first_j: u32, step: Step) -> vec4<Half> {
  let run = quad / (B_LENGTH / 4u) + select(step.k, first_j, B_IS_TRANSPOSED);
  let along = quad % (B_LENGTH / 4u) * 4u + select(first_j, step.k, B_IS_TRANSPOSED);
  let runs = select(params.k, params.n, B_IS_TRANSPOSED);
  let end = select(params.n, params.k, B_IS_TRANSPOSED);
  if (quad >= B_QUADS || run >= runs || along >= end) {
    return vec4<Half>();
  }
  let start = params.b_offset + step.batch * params.b_batch + step.tap * params.b_tap;
  return cut_lanes(b4(start + run * params.b_step + along), end - along);
}

/** Zero in lanes from `end` on; what stands there in storage may be anything, NaN too. */
fn cut_lanes(x: vec4<Half>, end: u32) -> vec4<Half> {
  return select(vec4<Half>(), x, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end));
}

/** Writes what lies inside of out of four outputs of row i; the first share adds the bias. */
fn write_row(slab: u32, i: u32, j: u32, sums: vec4<f32>) {
  if (i >= params.m || j >= params.n) { return; }
  var x = sums;
  if (HAS_BIAS && slab < params.batches) {
    let size = params.placing.size;
    let pixel = vec3<u32>(i / size.y / size.x, i / size.y % size.x, i % size.y);
    x += bias4(params.bias_offset + slab * params.bias_batch + dot(pixel, params.bias_strides) + j);
  }
  write((slab * params.m + i) * params.n + j, x, params.n - j);
}

/** Where a thread writes: its slab of outputs, the first of its subgroup's, and which thread of which subgroup it is. */
struct Place {
  slab: u32,
  i: u32,
  j: u32,
  subgroup: u32,
  lane: u32,
}

/** Writes the matrix in row r and column c of a subgroup's, by way of workgroup memory. */
fn write_sum(sum: Sum, place: Place, r: u32, c: u32) {
  let start = place.subgroup * M * N;
  store(start, sum);
  workgroupBarrier();
  for (var quad = place.lane; quad < M * N / 4u; quad += SUBGROUP) {
    let i = quad / (N / 4u);
    let j = quad % (N / 4u) * 4u;
    let at = start + i * N + j;
    let x = vec4<f32>(c_tile[at], c_tile[at + 1u], c_tile[at + 2u], c_tile[at + 3u]);
    write_row(place.slab, place.i + r * M + i, place.j + c * N + j, x);
  }
  workgroupBarrier();
}

/** Where a's runs of a step lie: those of rows stay, those of terms follow the step. */
fn find_origins(thread: u32, first_i: u32, step: Step) {
  let first = select(first_i, step.k, A_IS_TRANSPOSED);
  let pixels = select(params.m, params.k, A_IS_TRANSPOSED);
  for (var run = thread; run < A_RUNS; run += THREADS) { origins[run] = origin(first + run, pixels); }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let tiles = (vec2<u32>(params.m, params.n) + vec2<u32>(TILE_M, TILE_N) - 1u) / vec2<u32>(TILE_M, TILE_N);
  let tile = group.x + group.y * groups.x;
  let slab = tile / (tiles.x * tiles.y); // share · batches + batch
  let share = slab / params.batches;
  if (share >= params.shares) { return; }
  let batch = slab % params.batches;
  let first_i = tile / tiles.y % tiles.x * TILE_M;
  let first_j = tile % tiles.y * TILE_N;
  let k_tiles = (params.k + TILE_K - 1u) / TILE_K;
  let steps = select(params.placing.taps.x * params.placing.taps.y, 1u, TAPS_ARE_BATCHES) * k_tiles;
  let length = (steps + params.shares - 1u) / params.shares;
  let first = min(share * length, steps);
  let last = min(first + length, steps);

  // Subgroups are taken to be runs of neighbouring threads.
  let subgroup = thread / SUBGROUP;
  let corner = vec2<u32>(subgroup / GRID_N * ROWS * M, subgroup % GRID_N * COLUMNS * N);

  // What a step multiplies is fetched while the step before it multiplies.
  var a_next: array<vec4<Half>, A_EACH>;
  var b_next: array<vec4<Half>, B_EACH>;
  find_origins(thread, first_i, step_of(first, batch));
  workgroupBarrier();
  for (var e = 0u; e < A_EACH; e++) { a_next[e] = fetch_a(thread + e * THREADS, first_i, step_of(first, batch)); }
  for (var e = 0u; e < B_EACH; e++) { b_next[e] = fetch_b(thread + e * THREADS, first_j, step_of(first, batch)); }
  workgroupBarrier();
  var sums: Sums;
  for (var step = first; step < last; step++) {
    for (var e = 0u; e < A_EACH; e++) {
      let quad = thread + e * THREADS;
      let to = quad / (A_LENGTH / 4u) * A_STEP + quad % (A_LENGTH / 4u) * 4u;
      if (quad < A_QUADS) {
        a_tile[to] = a_next[e].x;
        a_tile[to + 1u] = a_next[e].y;
        a_tile[to + 2u] = a_next[e].z;
        a_tile[to + 3u] = a_next[e].w;
      }
    }
    for (var e = 0u; e < B_EACH; e++) {
      let quad = thread + e * THREADS;
      let to = quad / (B_LENGTH / 4u) * B_STEP + quad % (B_LENGTH / 4u) * 4u;
      if (quad < B_QUADS) {
        b_tile[to] = b_next[e].x;
        b_tile[to + 1u] = b_next[e].y;
        b_tile[to + 2u] = b_next[e].z;
        b_tile[to + 3u] = b_next[e].w;
      }
    }
    let following = step_of(step + 1u, batch);
    if (A_IS_TRANSPOSED) { find_origins(thread, first_i, following); }
    workgroupBarrier();
    if (step + 1u < last) {
      for (var e = 0u; e < A_EACH; e++) { a_next[e] = fetch_a(thread + e * THREADS, first_i, following); }
      for (var e = 0u; e < B_EACH; e++) { b_next[e] = fetch_b(thread + e * THREADS, first_j, following); }
    }
    for (var k = 0u; k < TILE_K; k += K) { accumulate(&sums, k, corner); }
    workgroupBarrier();
  }

  write_sums(&sums, Place(slab, first_i + corner.x, first_j + corner.y, subgroup, thread % SUBGROUP));
}
