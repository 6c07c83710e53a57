// Attention's gradient for the rows of one of its operands, with p_ij = exp(scale · q_i · k_j − lse_i) and
// ds_ij = scale · p_ij (g_i · v_j − delta_i): dq_i = Σ_j ds_ij k_j; dk_j = Σ_i ds_ij q_i and dv_j = Σ_i p_ij g_i.
// One invocation a row, which keeps its sums in the outputs.

// false: a = q, b = g, c = k, d = v give da = dq. true: a = k, b = v, c = q, d = g give da = dk, db = dv.
const ROWS_ARE_KEYS = false;
const WORKGROUP = 64u;

struct Params {
  size: u32, // batch · rows
  rows: u32,
  columns: u32,
  depth: u32, // of a and c
  width: u32, // of b and d
  scale: f32,
  offsets: vec4<i32>, // of a, b, c, d
  row_strides: vec4<i32>, // of a, b, c, d
  batch: vec4<u32>, // the axes before rows and columns
  a_strides: vec4<i32>, // along these
  b_strides: vec4<i32>,
  c_strides: vec4<i32>,
  d_strides: vec4<i32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> d: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(7) var<storage, read_write> da: array<f32>;
@group(0) @binding(8) var<storage, read_write> db: array<f32>;

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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let row = id.x + id.y * groups.x * WORKGROUP;
  if (row >= params.size) {
    return;
  }
  let sample = row / params.rows;
  let start = starts(sample);
  let here = start + i32(row % params.rows) * params.row_strides;
  for (var k = 0u; k < params.depth; k++) {
    da[row * params.depth + k] = 0.0;
  }
  if (ROWS_ARE_KEYS) {
    for (var k = 0u; k < params.width; k++) {
      db[row * params.width + k] = 0.0;
    }
  }
  for (var column = 0u; column < params.columns; column++) {
    let there = start + i32(column) * params.row_strides;
    var s = 0.0;
    for (var k = 0; k < i32(params.depth); k++) {
      s += a[here.x + k] * c[there.z + k];
    }
    var dp = 0.0;
    for (var k = 0; k < i32(params.width); k++) {
      dp += b[here.y + k] * d[there.w + k];
    }
    let query = select(row, sample * params.columns + column, ROWS_ARE_KEYS);
    let p = exp(s * params.scale - lse[query]);
    let ds = p * (dp - delta[query]) * params.scale;
    for (var k = 0u; k < params.depth; k++) {
      da[row * params.depth + k] += ds * c[there.z + i32(k)];
    }
    if (ROWS_ARE_KEYS) {
      for (var k = 0u; k < params.width; k++) {
        db[row * params.width + k] += p * d[there.w + i32(k)];
      }
    }
  }
}
