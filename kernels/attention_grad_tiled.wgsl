// Attention's gradient for the rows of one of its operands, with p_ij = exp(scale · q_i · k_j − lse_i) and
// ds_ij = scale · p_ij (g_i · v_j − delta_i): dq_i = Σ_j ds_ij k_j; dk_j = Σ_i ds_ij q_i and dv_j = Σ_i p_ij g_i.
// A workgroup holds 4 · DOWN rows and walks over the columns; all products are of 4 × 4 blocks in registers.

const ROWS_ARE_KEYS = false; // false: a = q, b = g, c = k, d = v → da = dq. true: a = k, b = v, c = q, d = g → da = dk, db = dv
const ACROSS = 16u; // threads along the columns, and along depth and width of the outputs
const DOWN = 8u; // threads along the rows
const QUADS = 4u; // quads of each output a thread holds: ACROSS · QUADS cover depth and width
const STEP = 4u; // quads of depth or width in memory at a time
const VALUES = 4u; // rows of c or d in memory at a time; divides COLUMNS

const THREADS = ACROSS * DOWN;
const ROWS = 4u * DOWN;
const COLUMNS = 4u * ACROSS;
const STRIDE = STEP + 1u; // odd, so that neighbouring rows start in different banks
const P_STRIDE = DOWN + 1u;
const V_STRIDE = ACROSS * QUADS;
const V_START = COLUMNS * P_STRIDE;
const MEMORY = max((ROWS + COLUMNS) * STRIDE, V_START + VALUES * V_STRIDE);
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

// First rows of a, c or b, d: [row or ROWS + column][STRIDE]. Then p or ds [column][P_STRIDE], each of four rows; rows of d or c.
var<workgroup> memory: array<vec4<f32>, MEMORY>;

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

fn a_at(start: vec4<i32>, row: u32, quad: u32) -> vec4<f32> {
  if (row >= params.rows || quad >= params.depth) { return vec4<f32>(); }
  return a[start.x + i32(row) * params.row_strides.x + i32(quad)];
}

fn b_at(start: vec4<i32>, row: u32, quad: u32) -> vec4<f32> {
  if (row >= params.rows || quad >= params.width) { return vec4<f32>(); }
  return b[start.y + i32(row) * params.row_strides.y + i32(quad)];
}

fn c_at(start: vec4<i32>, column: u32, quad: u32) -> vec4<f32> {
  if (column >= params.columns || quad >= params.depth) { return vec4<f32>(); }
  return c[start.z + i32(column) * params.row_strides.z + i32(quad)];
}

fn d_at(start: vec4<i32>, column: u32, quad: u32) -> vec4<f32> {
  if (column >= params.columns || quad >= params.width) { return vec4<f32>(); }
  return d[start.w + i32(column) * params.row_strides.w + i32(quad)];
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

/** sum + Σ_e rows[e] · x[e]: four rows' products with x, the rows given by their columns. */
fn add_dots(sum: vec4<f32>, rows: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  let first = fma(rows[1], vec4<f32>(x.y), fma(rows[0], vec4<f32>(x.x), sum));
  return fma(rows[3], vec4<f32>(x.w), fma(rows[2], vec4<f32>(x.z), first));
}

/** sum[column][row] + the products over the STEP quads of depth or width in memory. */
fn add_products(sum: mat4x4<f32>, tx: u32, ty: u32) -> mat4x4<f32> {
  var s = sum;
  for (var e = 0u; e < STEP; e++) {
    let row = 4u * ty * STRIDE + e;
    let rows = transpose(mat4x4<f32>(
      memory[row],
      memory[row + STRIDE],
      memory[row + 2u * STRIDE],
      memory[row + 3u * STRIDE],
    ));
    let column = (ROWS + tx) * STRIDE + e;
    s = mat4x4<f32>(
      add_dots(s[0], rows, memory[column]),
      add_dots(s[1], rows, memory[column + ACROSS * STRIDE]),
      add_dots(s[2], rows, memory[column + 2u * ACROSS * STRIDE]),
      add_dots(s[3], rows, memory[column + 3u * ACROSS * STRIDE]),
    );
  }
  return s;
}

/** Puts weights[column][row] where all threads find them. */
fn share(weights: mat4x4<f32>, tx: u32, ty: u32) {
  for (var k = 0u; k < 4u; k++) {
    memory[(tx + k * ACROSS) * P_STRIDE + ty] = weights[k];
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = group.x + group.y * groups.x;
  let sample = at / params.blocks;
  if (sample >= params.samples) {
    return;
  }
  let first_row = (at % params.blocks) * ROWS;
  let start = starts(sample);
  let tx = thread % ACROSS;
  let ty = thread / ACROSS;

  // Of the queries: this thread's four rows once, or its four columns for each tile.
  var log_total = vec4<f32>();
  var slope = vec4<f32>();
  if (!ROWS_ARE_KEYS) {
    for (var r = 0u; r < 4u; r++) {
      let row = first_row + 4u * ty + r;
      if (row < params.rows) {
        log_total[r] = lse[sample * params.rows + row] * LOG2_E;
        slope[r] = delta[sample * params.rows + row];
      }
    }
  }
  var da_sums: array<mat4x4<f32>, QUADS>; // [quad tx + ACROSS · j of depth][row]
  var db_sums: array<mat4x4<f32>, QUADS>; // [quad tx + ACROSS · j of width][row]

  for (var first_column = 0u; first_column < params.columns; first_column += COLUMNS) {
    var s = mat4x4<f32>(); // [column][row]
    for (var e = 0u; e < params.depth; e += STEP) {
      workgroupBarrier();
      for (var i = thread; i < ROWS * STEP; i += THREADS) {
        memory[(i / STEP) * STRIDE + i % STEP] = a_at(start, first_row + i / STEP, e + i % STEP);
      }
      for (var i = thread; i < COLUMNS * STEP; i += THREADS) {
        memory[(ROWS + i / STEP) * STRIDE + i % STEP] = c_at(start, first_column + i / STEP, e + i % STEP);
      }
      workgroupBarrier();
      s = add_products(s, tx, ty);
    }
    var dp = mat4x4<f32>();
    for (var e = 0u; e < params.width; e += STEP) {
      workgroupBarrier();
      for (var i = thread; i < ROWS * STEP; i += THREADS) {
        memory[(i / STEP) * STRIDE + i % STEP] = b_at(start, first_row + i / STEP, e + i % STEP);
      }
      for (var i = thread; i < COLUMNS * STEP; i += THREADS) {
        memory[(ROWS + i / STEP) * STRIDE + i % STEP] = d_at(start, first_column + i / STEP, e + i % STEP);
      }
      workgroupBarrier();
      dp = add_products(dp, tx, ty);
    }

    var p: mat4x4<f32>;
    var ds: mat4x4<f32>;
    for (var k = 0u; k < 4u; k++) {
      let column = first_column + tx + k * ACROSS;
      let isInside = column < params.columns;
      if (ROWS_ARE_KEYS) {
        let query = sample * params.columns + min(column, params.columns - 1u);
        log_total = vec4<f32>(lse[query] * LOG2_E);
        slope = vec4<f32>(delta[query]);
      }
      p[k] = select(vec4<f32>(), exp2(s[k] * (params.scale * LOG2_E) - log_total), isInside);
      ds[k] = p[k] * (dp[k] - slope) * params.scale;
    }

    if (ROWS_ARE_KEYS) {
      workgroupBarrier();
      share(p, tx, ty);
      for (var first = 0u; first < COLUMNS; first += VALUES) {
        for (var i = thread; i < VALUES * V_STRIDE; i += THREADS) {
          memory[V_START + i] = d_at(start, first_column + first + i / V_STRIDE, i % V_STRIDE);
        }
        workgroupBarrier();
        for (var i = 0u; i < VALUES; i++) {
          let weights = memory[(first + i) * P_STRIDE + ty];
          for (var j = 0u; j < QUADS; j++) {
            db_sums[j] = add_outer(db_sums[j], weights, memory[V_START + i * V_STRIDE + j * ACROSS + tx]);
          }
        }
        workgroupBarrier();
      }
    } else {
      workgroupBarrier();
    }
    share(ds, tx, ty);
    for (var first = 0u; first < COLUMNS; first += VALUES) {
      for (var i = thread; i < VALUES * V_STRIDE; i += THREADS) {
        memory[V_START + i] = c_at(start, first_column + first + i / V_STRIDE, i % V_STRIDE);
      }
      workgroupBarrier();
      for (var i = 0u; i < VALUES; i++) {
        let weights = memory[(first + i) * P_STRIDE + ty];
        for (var j = 0u; j < QUADS; j++) {
          da_sums[j] = add_outer(da_sums[j], weights, memory[V_START + i * V_STRIDE + j * ACROSS + tx]);
        }
      }
      workgroupBarrier();
    }
  }

  for (var r = 0u; r < 4u; r++) {
    let row = first_row + 4u * ty + r;
    if (row < params.rows) {
      let out = sample * params.rows + row;
      for (var j = 0u; j < QUADS; j++) {
        let quad = j * ACROSS + tx;
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
