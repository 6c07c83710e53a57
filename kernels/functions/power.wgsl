// power(x, y) = xʸ with C99's table of values, within 4 · 2⁻²⁴ |xʸ|; appended to kernels. The logarithm and its product with y are
// integers, which no compiler reorders, of so many bits that |y log x| costs no digits. With
// exponents.wgsl and mul_high.wgsl.

fn exp_near_zero(r: f32) -> f32 { return r; }
fn power_of_two(n: f32) -> f32 { return 1.0; }
fn mul_high(a: u32, b: u32) -> u32 { return 0u; }

// c − f · sum for f = ± size · 2⁻³², the sign being `rises`' for minus.
fn next_term(c: u32, sum: u32, size: u32, rises: bool) -> u32 {
  let product = mul_high(size, sum);
  return select(c - product, c + product, rises);
}

// log₂(1 + f) / f in units of 2⁻³¹ for f = ± size · 2⁻³² in [√½ − 1, √2 − 1]: a polynomial fitted to 2⁻³⁵, whose terms alternate.
fn log2_slope(size: u32, is_negative: bool) -> u32 {
  var sum = 0x09ab39cdu;
  sum = next_term(0x121af6d2u, sum, size, is_negative);
  sum = next_term(0x128dbd39u, sum, size, is_negative);
  sum = next_term(0x125de4afu, sum, size, is_negative);
  sum = next_term(0x1453051bu, sum, size, is_negative);
  sum = next_term(0x17131ef7u, sum, size, is_negative);
  sum = next_term(0x1a63df12u, sum, size, is_negative);
  sum = next_term(0x1ec7352du, sum, size, is_negative);
  sum = next_term(0x24eecb18u, sum, size, is_negative);
  sum = next_term(0x2e2a8de9u, sum, size, is_negative);
  sum = next_term(0x3d8e13d5u, sum, size, is_negative);
  sum = next_term(0x5c551d96u, sum, size, is_negative);
  return next_term(0xb8aa3b29u, sum, size, is_negative);
}

// |x|ʸ for |x| that is neither 0, 1 nor infinite, and a y that is neither 0 nor infinite, from their bits.
fn power_of_size(x: u32, y: u32) -> f32 {
  // |x| = m · 2ⁿ with m = 1 + f in [√½, √2), as in `logarithm`.
  let is_subnormal = x < 0x00800000u;
  let normal = select(x, bitcast<u32>(f32(x)), is_subnormal);
  let turned = normal + 0x004afb0du;
  let n = i32(turned >> 23u) - select(127, 276, is_subnormal);
  let m = (turned & 0x007fffffu) + 0x3f3504f3u;
  let units = i32(((m & 0x007fffffu) | 0x00800000u) << select(0u, 1u, m >= 0x3f800000u)) - 0x01000000; // f · 2²⁴
  let is_below = units < 0;
  let size = u32(abs(units));

  // |log₂ |x|| in units of 2⁻⁵⁵: n's part, more or less what f adds.
  let slope = log2_slope(size << 8u, is_below);
  let part = vec2<u32>(size * slope, mul_high(size, slope)); // lower and upper half
  let whole = u32(abs(n)) << 23u;
  let is_opposed = n != 0 && (n < 0) != is_below;
  var log = vec2<u32>(part.x, whole + part.y);
  if (is_opposed) {
    log = vec2<u32>(0u - part.x, whole - part.y - select(0u, 1u, part.x != 0u));
  }
  let is_negative = select(n < 0, is_below, n == 0) != (y >> 31u == 1u);

  // |y log₂ |x|| = product · 2^(exponent of y) · …, its point `shift` bits from the right of the upper half.
  let zeros = select(countLeadingZeros(log.y), 32u + countLeadingZeros(log.x), log.y == 0u);
  let left = zeros % 32u;
  let upper = select(log.y, log.x, zeros >= 32u);
  let lower = select(log.x, 0u, zeros >= 32u);
  let digits = select((upper << left) | (lower >> ((32u - left) % 32u)), upper, left == 0u);
  let mantissa = ((y & 0x007fffffu) | 0x00800000u) << 8u;
  let product = vec2<u32>(mantissa * digits, mul_high(mantissa, digits));
  let shift = 149 + i32(zeros) - i32((y >> 23u) & 0xffu);
  if (shift < 24) {
    var bits = select(0x7f800000u, 0u, is_negative); // 2¹²⁸ and above, or their inverse
    return bitcast<f32>(bits);
  }
  if (shift >= 64) {
    return 1.0;
  }
  var exponent = 0;
  var fraction = 0u; // in units of 2⁻³²
  if (shift < 32) {
    exponent = i32(product.y >> u32(shift));
    fraction = (product.y << u32(32 - shift)) | (product.x >> u32(shift));
  } else {
    fraction = product.y >> u32(shift - 32);
  }
  exponent += i32(fraction >> 31u);
  let rest = f32(bitcast<i32>(fraction)) * (0.693147181 * 0x1p-32);
  let power = exp_near_zero(select(rest, -rest, is_negative)) + 1.0;
  let twos = select(exponent, -exponent, is_negative);
  if (twos < -125) {
    return 0.0; // no normal number, or close to none
  }
  return (power + power) * power_of_two(f32(twos - 1)); // 2¹²⁸ is no number
}

// 0 of a number that is not whole, 1 of an odd one, 2 of an even one; the bits are |y|'s.
fn wholeness(y: u32) -> u32 {
  if (y >= 0x4b800000u) {
    return 2u;
  }
  if (y < 0x3f800000u) {
    return 0u;
  }
  let unit = 1u << (150u - (y >> 23u)); // the bit that stands for 1
  let mantissa = (y & 0x007fffffu) | 0x00800000u;
  if ((mantissa & (unit - 1u)) != 0u) {
    return 0u;
  }
  return select(2u, 1u, (mantissa & unit) != 0u);
}

fn power(x: f32, y: f32) -> f32 {
  let x_bits = bitcast<u32>(x);
  let y_bits = bitcast<u32>(y);
  let base = x_bits & 0x7fffffffu;
  let exponent = y_bits & 0x7fffffffu;
  if (exponent == 0u || x_bits == 0x3f800000u) {
    return 1.0;
  }
  if (max(base, exponent) > 0x7f800000u) {
    return bitcast<f32>(max(base, exponent) | 0x7fc00000u);
  }
  let kind = wholeness(exponent);
  let is_negative = x_bits != base;
  let is_extreme = base == 0u || base == 0x7f800000u;
  if (is_negative && kind == 0u && !is_extreme) {
    return bitcast<f32>(base | 0x7fc00000u);
  }
  var size = 1.0;
  if (is_extreme || exponent == 0x7f800000u) {
    let grows = (base > 0x3f800000u) == (y_bits == exponent);
    if (base != 0x3f800000u) {
      size = bitcast<f32>(select(0u, 0x7f800000u, grows));
    }
  } else if (base != 0x3f800000u) {
    size = power_of_size(base, y_bits);
  }
  return select(size, -size, is_negative && kind == 1u);
}
