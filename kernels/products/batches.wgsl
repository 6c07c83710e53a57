// offset(batch) = offset + Σ_axis index[axis] · strides[axis], the index of the batch: where its matrices begin.

const BATCH_RANK = 0u;

/** A product of matrices, and where its operands lie. */
struct Product {
  batches: u32,
  m: u32,
  n: u32,
  k: u32,
  a_offset: u32,
  a_step: u32, // from one contiguous run of a to the next
  b_offset: u32,
  b_step: u32,
  bias_offset: u32,
  bias_step: u32, // from one row to the next
  out_offset: u32,
  batch_shape: array<vec4<u32>, 2>,
  a_strides: array<vec4<u32>, 2>, // of the batch axes
  b_strides: array<vec4<u32>, 2>,
  bias_strides: array<vec4<u32>, 2>,
}

/** Where matrix `batch` of a, of b and of the bias begin. */
fn matrices(product: Product, batch: u32) -> vec3<u32> {
  var at = vec3<u32>(product.a_offset, product.b_offset, product.bias_offset);
  var rest = batch;
  for (var axis = BATCH_RANK; axis > 0u; axis--) {
    let quad = (axis - 1u) / 4u;
    let lane = (axis - 1u) % 4u;
    let index = rest % product.batch_shape[quad][lane];
    rest /= product.batch_shape[quad][lane];
    at += index * vec3<u32>(product.a_strides[quad][lane], product.b_strides[quad][lane], product.bias_strides[quad][lane]);
  }
  return at;
}
