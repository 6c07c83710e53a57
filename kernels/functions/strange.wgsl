// strange(bits) = the infinite number or NaN of these bits; is_finite(x) by the bits of x: compilers may assume that all are finite.

/** From a variable: WGSL has no such constants. */
fn strange(bits: u32) -> f32 {
  var variable = bits;
  return bitcast<f32>(variable);
}

fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
