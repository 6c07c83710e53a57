// order_key(bits of x) < order_key(bits of y) = x < y, with −0 equal to 0 and every NaN above all numbers; appended to kernels.

fn order_key(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return 0xffffffffu;
  }
  if (size == 0u) {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits != size);
}
