// Attention's gradient for the rows of one of its operands, with p_ij = exp(scale · q_i · k_j − lse_i) and
// ds_ij = scale · p_ij (g_i · v_j − delta_i): dq_i = Σ_j ds_ij k_j; dk_j = Σ_i ds_ij q_i and dv_j = Σ_i p_ij g_i.
// A workgroup holds 4 · DOWN rows and walks over the columns. All products are of blocks in registers; the operands of
// the first two, and p and ds, pass through workgroup memory, those of the last two come from the cache.

// false: a = q, b = g, c = k, d = v give da = dq. true: a = k, b = v, c = q, d = g give da = dk, db = dv.
const ROWS_ARE_KEYS = false;
const ACROSS = 16u; // threads along the columns, and along depth and width of the outputs; a multiple of WARP_ACROSS
const DOWN = 8u; // threads along the rows; a multiple of WARP_DOWN
const QUADS = 4u; // a thread's columns of each output, in quads: ACROSS · QUADS cover depth and width
const STEP = 4u; // quads of depth or width in memory at a time; divides both
const UNROLL = 8u; // rows of c or d on their way to a thread at a time; divides COLUMNS
fn add_outer(sum: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> { return sum; }
fn add_dots(sum: vec4<f32>, rows: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> { return sum; }

const THREADS = ACROSS * DOWN;
const ROWS = 4u * DOWN;
const COLUMNS = 4u * ACROSS;
const WARP_ACROSS = 8u; // neighbouring threads read as few quads of both operands as they can, free of bank conflicts
const WARP_DOWN = 4u;
const STRIDE = STEP + 1u; // odd, so that neighbouring rows start in different banks
const P_STRIDE = DOWN + 1u;
const LOG2_E = 1.4426950408889634;

struct Params {
  blocks: u32, // workgroups a sample
  samples: u32,
  rows: u32,
  columns: u32,
  depth: u32, // of a and c, in quads
  width: u32, // of b and d, in quads
  scale: f32,
  offsets: vec4<i32>, // of a, b, c, d, in quads
  row_strides: vec4<i32>, // of a, b, c, d, in quads
  batch: vec4<u32>, // the axes before rows and columns
  a_strides: vec4<i32>, // along these, in quads
  b_strides: vec4<i32>,
  c_strides: vec4<i32>,
  d_strides: vec4<i32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> c: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(7) var<storage, read_write> da: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> db: array<vec4<f32>>;

// First rows of a, c or b, d: [row or ROWS + column][STRIDE]. Then p or ds [column][P_STRIDE], each of four rows.
var<workgroup> memory: array<vec4<f32>, max((ROWS + COLUMNS) * STRIDE, COLUMNS * P_STRIDE)>;

/** Where a sample of a, b, c and d begins. */
fn starts(sample: u32) -> vec4<i32> {
  var at = params.offsets;
  var rest = sample;
  for (var axis = 4u; axis > 0u; axis--) {
    let k = axis - 1u;
    let n = params.batch[k];
    let index = i32(rest % n);
    rest /= n;
    at += index * vec4<i32>(params.a_strides[k], params.b_strides[k], params.c_strides[k], params.d_strides[k]);
  }
  return at;
}

/** block[column][row] + the products over the STEP quads of depth or width that are in memory. */
fn add_products(block: mat4x4<f32>, tx: u32, ty: u32) -> mat4x4<f32> {
  var sums = block;
  for (var e = 0u; e < STEP; e++) {
    let at_row = ty * STRIDE + e;
    let rows = transpose(mat4x4<f32>(
      memory[at_row],
      memory[at_row + DOWN * STRIDE],
      memory[at_row + 2u * DOWN * STRIDE],
      memory[at_row + 3u * DOWN * STRIDE],
    ));
    let at_column = (ROWS + tx) * STRIDE + e;
    sums = mat4x4<f32>(
      add_dots(sums[0], rows, memory[at_column]),
      add_dots(sums[1], rows, memory[at_column + ACROSS * STRIDE]),
      add_dots(sums[2], rows, memory[at_column + 2u * ACROSS * STRIDE]),
      add_dots(sums[3], rows, memory[at_column + 3u * ACROSS * STRIDE]),
    );
  }
  return sums;
}

/** Puts a block where all threads find it. */
fn share(block: mat4x4<f32>, tx: u32, ty: u32) {
  let first = tx * P_STRIDE + ty;
  memory[first] = block[0];
  memory[first + ACROSS * P_STRIDE] = block[1];
  memory[first + 2u * ACROSS * P_STRIDE] = block[2];
  memory[first + 3u * ACROSS * P_STRIDE] = block[3];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = group.x + group.y * groups.x;
  let sample = at / params.blocks;
  if (sample >= params.samples) { return; }
  let first_row = (at % params.blocks) * ROWS;
  let start = starts(sample);
  let lane = thread % (WARP_ACROSS * WARP_DOWN);
  let warp = thread / (WARP_ACROSS * WARP_DOWN);
  let tx = (warp % (ACROSS / WARP_ACROSS)) * WARP_ACROSS + lane % WARP_ACROSS;
  let ty = (warp / (ACROSS / WARP_ACROSS)) * WARP_DOWN + lane / WARP_ACROSS;

  // This thread's rows are ty + DOWN · 0 … 3, its columns of a tile tx + ACROSS · 0 … 3. Rows and columns beyond the last are read
  // as copies of it: their p is zero, or their sums are not written.
  var log_total = vec4<f32>(); // lse · log₂ e of the queries: of these rows, or of each column in turn
  var slope = vec4<f32>(); // delta of the queries
  if (!ROWS_ARE_KEYS) {
    for (var r = 0u; r < 4u; r++) {
      let query = sample * params.rows + min(first_row + ty + DOWN * r, params.rows - 1u);
      log_total[r] = lse[query] * LOG2_E;
      slope[r] = delta[query];
    }
  }
  var da_sums: array<mat4x4<f32>, QUADS>; // [quad tx + ACROSS · j of depth][row]
  var db_sums: array<mat4x4<f32>, QUADS>; // [quad tx + ACROSS · j of width][row]

  for (var first_column = 0u; first_column < params.columns; first_column += COLUMNS) {
    var p = mat4x4<f32>(); // [column][row], first the products a · c
    for (var e = 0u; e < params.depth; e += STEP) {
      workgroupBarrier();
      for (var i = thread; i < ROWS * STEP; i += THREADS) {
        let row = start.x + i32(min(first_row + i / STEP, params.rows - 1u)) * params.row_strides.x;
        memory[(i / STEP) * STRIDE + i % STEP] = a[row + i32(e + i % STEP)];
      }
      for (var i = thread; i < COLUMNS * STEP; i += THREADS) {
        let column = start.z + i32(min(first_column + i / STEP, params.columns - 1u)) * params.row_strides.z;
        memory[(ROWS + i / STEP) * STRIDE + i % STEP] = c[column + i32(e + i % STEP)];
      }
      workgroupBarrier();
      p = add_products(p, tx, ty);
    }
    var ds = mat4x4<f32>(); // [column][row], first the products b · d
    for (var e = 0u; e < params.width; e += STEP) {
      workgroupBarrier();
      for (var i = thread; i < ROWS * STEP; i += THREADS) {
        let row = start.y + i32(min(first_row + i / STEP, params.rows - 1u)) * params.row_strides.y;
        memory[(i / STEP) * STRIDE + i % STEP] = b[row + i32(e + i % STEP)];
      }
      for (var i = thread; i < COLUMNS * STEP; i += THREADS) {
        let column = start.w + i32(min(first_column + i / STEP, params.columns - 1u)) * params.row_strides.w;
        memory[(ROWS + i / STEP) * STRIDE + i % STEP] = d[column + i32(e + i % STEP)];
      }
      workgroupBarrier();
      ds = add_products(ds, tx, ty);
    }
    for (var k = 0u; k < 4u; k++) {
      let column = first_column + tx + k * ACROSS;
      if (ROWS_ARE_KEYS) {
        let query = sample * params.columns + min(column, params.columns - 1u);
        log_total = vec4<f32>(lse[query] * LOG2_E);
        slope = vec4<f32>(delta[query]);
      }
      let exponent = p[k] * (params.scale * LOG2_E) - log_total;
      // By its bits: built-in exp2 may make any number of a NaN.
      let is_nan = (bitcast<vec4<u32>>(exponent) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
      p[k] = select(vec4<f32>(), select(exp2(exponent), exponent, is_nan), column < params.columns);
      ds[k] = select(vec4<f32>(), p[k] * (ds[k] - slope) * params.scale, column < params.columns);
    }

    if (ROWS_ARE_KEYS) {
      workgroupBarrier();
      share(p, tx, ty);
      workgroupBarrier();
      for (var i = 0u; i < min(COLUMNS, params.columns - first_column); i += UNROLL) {
        var values: array<vec4<f32>, QUADS * UNROLL>;
        for (var u = 0u; u < UNROLL; u++) {
          let line = start.w + i32(min(first_column + i + u, params.columns - 1u)) * params.row_strides.w;
          for (var j = 0u; j < QUADS; j++) {
            values[u * QUADS + j] = d[line + i32(min(tx + ACROSS * j, params.width - 1u))];
          }
        }
        for (var u = 0u; u < UNROLL; u++) {
          let weights = memory[(i + u) * P_STRIDE + ty];
          for (var j = 0u; j < QUADS; j++) {
            db_sums[j] = add_outer(db_sums[j], weights, values[u * QUADS + j]);
          }
        }
      }
    }
    workgroupBarrier();
    share(ds, tx, ty);
    workgroupBarrier();
    for (var i = 0u; i < min(COLUMNS, params.columns - first_column); i += UNROLL) {
      var values: array<vec4<f32>, QUADS * UNROLL>;
      for (var u = 0u; u < UNROLL; u++) {
        let line = start.z + i32(min(first_column + i + u, params.columns - 1u)) * params.row_strides.z;
        for (var j = 0u; j < QUADS; j++) {
          values[u * QUADS + j] = c[line + i32(min(tx + ACROSS * j, params.depth - 1u))];
        }
      }
      for (var u = 0u; u < UNROLL; u++) {
        let weights = memory[(i + u) * P_STRIDE + ty];
        for (var j = 0u; j < QUADS; j++) {
          da_sums[j] = add_outer(da_sums[j], weights, values[u * QUADS + j]);
        }
      }
    }
  }

  for (var r = 0u; r < 4u; r++) {
    let row = first_row + ty + DOWN * r;
    if (row < params.rows) {
      let out = sample * params.rows + row;
      for (var j = 0u; j < QUADS; j++) {
        let quad = tx + ACROSS * j;
        if (quad < params.depth) {
          da[out * params.depth + quad] = da_sums[j][r];
        }
        if (ROWS_ARE_KEYS && quad < params.width) {
          db[out * params.width + quad] = db_sums[j][r];
        }
      }
    }
  }
}
