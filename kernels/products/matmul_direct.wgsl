// out[p, i, j] = Σ_k a[p, i, k] · b[p, k, j] + bias[p, i, j]: 8 × 4 outputs per thread, straight from storage.

alias A = vec4<f32>;
alias B = vec4<f32>;
alias Bias = vec4<f32>;
alias Out = vec4<f32>;
const A_IS_TRANSPOSED = false; // whether a's contiguous axis is i and not k
const B_IS_TRANSPOSED = false; // whether b's contiguous axis is k and not j
const K_IS_RAGGED = false; // whether k is no multiple of four
const HAS_BIAS = false;
const WORKGROUP = 64u;
struct Product { batches: u32, m: u32, n: u32, k: u32, a_step: u32, b_step: u32, bias_step: u32, out_offset: u32 }
fn matrices(product: Product, batch: u32) -> vec3<u32> { return vec3<u32>(); }
fn a4(i: u32) -> vec4<f32> { return a[i / 4u]; }
fn b4(i: u32) -> vec4<f32> { return b[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }
fn cut(block: mat4x4<f32>, end: u32) -> mat4x4<f32> { return block; }

struct Params {
  product: Product,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read_write> out: array<Out>;

/** Writes four outputs of a row, if it is one. */
fn write_row(batch: u32, bias_at: u32, i: u32, j: u32, sums: vec4<f32>) {
  if (i >= params.product.m) { return; }
  var x = sums;
  if (HAS_BIAS) { x += bias4(bias_at + i * params.product.bias_step + j); }
  write(params.product.out_offset + (batch * params.product.m + i) * params.product.n + j, x, params.product.n - j);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let blocks = (vec2<u32>(params.product.m, params.product.n) + vec2<u32>(7u, 3u)) / vec2<u32>(8u, 4u);
  let thread = id.x + id.y * groups.x * WORKGROUP;
  let batch = thread / (blocks.x * blocks.y);
  if (batch >= params.product.batches) { return; }
  let i = thread / blocks.y % blocks.x * 8u;
  let j = thread % blocks.y * 4u;
  let start = matrices(params.product, batch);
  let lanes = vec4<u32>(0u, 1u, 2u, 3u);
  let upper_rows = start.x + min(i + lanes, vec4<u32>(params.product.m - 1u)) * params.product.a_step;
  let lower_rows = start.x + min(i + 4u + lanes, vec4<u32>(params.product.m - 1u)) * params.product.a_step;
  let columns = start.y + min(j + lanes, vec4<u32>(params.product.n - 1u)) * params.product.b_step;

  var upper = mat4x4<f32>(); // [i][j]
  var lower = mat4x4<f32>();
  for (var k = 0u; k < params.product.k; k += 4u) {
    var above: mat4x4<f32>; // [i][k]
    var below: mat4x4<f32>;
    if (A_IS_TRANSPOSED) {
      let at = start.x + (k + lanes) * params.product.a_step + i;
      above = transpose(mat4x4<f32>(a4(at.x), a4(at.y), a4(at.z), a4(at.w)));
      below = transpose(mat4x4<f32>(a4(at.x + 4u), a4(at.y + 4u), a4(at.z + 4u), a4(at.w + 4u)));
    } else {
      let up = upper_rows + k;
      above = mat4x4<f32>(a4(up.x), a4(up.y), a4(up.z), a4(up.w));
      let low = lower_rows + k;
      below = mat4x4<f32>(a4(low.x), a4(low.y), a4(low.z), a4(low.w));
    }
    var y: mat4x4<f32>; // [k][j]
    if (B_IS_TRANSPOSED) {
      let at = columns + k;
      y = transpose(mat4x4<f32>(b4(at.x), b4(at.y), b4(at.z), b4(at.w)));
    } else {
      let at = start.y + (k + lanes) * params.product.b_step + j;
      y = mat4x4<f32>(b4(at.x), b4(at.y), b4(at.z), b4(at.w));
    }
    if (K_IS_RAGGED) {
      let end = params.product.k - k;
      above = transpose(cut(transpose(above), end));
      below = transpose(cut(transpose(below), end));
      y = cut(y, end);
    }
    upper += y * above;
    lower += y * below;
  }

  write_row(batch, start.z, i, j, upper[0]);
  write_row(batch, start.z, i + 1u, j, upper[1]);
  write_row(batch, start.z, i + 2u, j, upper[2]);
  write_row(batch, start.z, i + 3u, j, upper[3]);
  write_row(batch, start.z, i + 4u, j, lower[0]);
  write_row(batch, start.z, i + 5u, j, lower[1]);
  write_row(batch, start.z, i + 6u, j, lower[2]);
  write_row(batch, start.z, i + 7u, j, lower[3]);
}
