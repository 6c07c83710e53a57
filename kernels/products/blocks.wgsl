// add_outer(sum, x, y)[i] = sum[i] + x[i] · y: what threads add up in registers, in blocks of 4 × 4 numbers.

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

/** sum + Σ_e rows[e] · x[e]: four rows' products with x, the rows given by their columns. */
fn add_dots(sum: vec4<f32>, rows: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  let first = fma(rows[1], vec4<f32>(x.y), fma(rows[0], vec4<f32>(x.x), sum));
  return fma(rows[3], vec4<f32>(x.w), fma(rows[2], vec4<f32>(x.z), first));
}
