// y = the integer next to x towards 0, limited to the type's ends, 0 for NaN. By the bits of x, since adapters differ beyond the ends.

fn float_to_i32(x: f32) -> i32 {
  let bits = bitcast<u32>(x);
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return 0;
  }
  if (size >= 0x4f000000u) {
    return select(2147483647, -2147483647 - 1, bits != size); // 2³¹ or more
  }
  return i32(x);
}

fn float_to_u32(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if (bits > 0x7f800000u) {
    return 0u; // NaN, or below 0
  }
  if (bits >= 0x4f800000u) {
    return 0xffffffffu; // 2³² or more
  }
  return u32(x);
}

// Whether x is not 0: neither subnormal numbers, which comparisons may flush, nor NaN are.
fn float_to_bool(x: f32) -> u32 {
  return select(0u, 1u, (bitcast<u32>(x) & 0x7fffffffu) != 0u);
}
