// y = f(x) for elementary functions whose built-in forms WGSL lets be far off; within 4 · 2⁻²⁴ |y| where nothing else is said.
// With exponents.wgsl and mul_high.wgsl.

fn exp_near_zero(r: f32) -> f32 { return r; }
fn power_of_two(n: f32) -> f32 { return 1.0; }
fn mul_high(a: u32, b: u32) -> u32 { return 0u; }

// x − n log 2, with log 2 in two parts of which the first has so few bits that n times it is exact. What is left then lies within the
// bounds anyway: they keep compilers (Mesa's does) from taking n times the sum of the parts.
fn without_twos(x: f32, n: f32) -> f32 {
  let near = clamp(fma(n, -0.693359375, x), -1.0, 1.0);
  return fma(n, 2.12194440e-4, near);
}

// By its bits, since compilers may assume that there is none.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// eˣ; a NaN of itself.
fn exponential(x: f32) -> f32 {
  if (is_nan(x)) {
    return x;
  }
  if (x > 88.8) {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
  }
  if (x < -104.0) {
    return 0.0;
  }
  let n = round(x * 1.44269504);
  let p = exp_near_zero(without_twos(x, n)) + 1.0;
  if (n < -125.0) {
    return (p + p) * power_of_two(n + 63.0) * 0x1p-64; // no normal number, or close to none
  }
  return (p + p) * power_of_two(n - 1.0); // 2¹²⁸ is no number
}

// eˣ − 1.
fn exponential_minus_1(x: f32) -> f32 {
  if (x > 88.0) {
    return exponential(x);
  }
  let limited = select(x, -18.0, x < -18.0); // from there on it rounds to −1
  let n = round(limited * 1.44269504);
  let p = exp_near_zero(without_twos(limited, n));
  let scale = power_of_two(n);
  return select(fma(scale, p, scale - 1.0), p, n == 0.0);
}

// log(1 + x) + n log 2 for x in [√½ − 1, √2 − 1]: x − x²/2 + x³ p(x), with Cephes' p.
fn log_near_one(x: f32, n: f32) -> f32 {
  let square = x * x;
  var p = 7.0376836292e-2;
  p = fma(p, x, -1.1514610310e-1);
  p = fma(p, x, 1.1676998740e-1);
  p = fma(p, x, -1.2420140846e-1);
  p = fma(p, x, 1.4249322787e-1);
  p = fma(p, x, -1.6668057665e-1);
  p = fma(p, x, 2.0000714765e-1);
  p = fma(p, x, -2.4999993993e-1);
  p = fma(p, x, 3.3333331174e-1);
  let rest = fma(square, -0.5, fma(n, -2.12194440e-4, p * x * square));
  return fma(n, 0.693359375, x + rest);
}

// log x; −∞ of 0, NaN of negative numbers.
fn logarithm(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) == 0u) {
    return bitcast<f32>(bits | 0xff800000u);
  }
  if (bits >= 0x7f800000u) {
    return select(bitcast<f32>(bits | 0x7fc00000u), x, bits == 0x7f800000u);
  }
  // A subnormal number is its bits · 2⁻¹⁴⁹.
  let is_subnormal = bits < 0x00800000u;
  let normal = select(bits, bitcast<u32>(f32(bits)), is_subnormal);
  let turned = normal + 0x004afb0du; // carries into the exponent from √2 on
  let exponent = i32(turned >> 23u) - select(127, 276, is_subnormal);
  let mantissa = bitcast<f32>((turned & 0x007fffffu) + 0x3f3504f3u); // in [√½, √2)
  return log_near_one(mantissa - 1.0, f32(exponent));
}

// log(1 + x).
fn logarithm_of_1_plus(x: f32) -> f32 {
  if (x > -0.2928 && x < 0.4142) {
    return log_near_one(x, 0.0);
  }
  return logarithm(1.0 + x);
}

// The first 224 bits of 2/π behind 32 zeros, from bit `first` on.
fn two_over_pi(first: u32) -> u32 {
  var words = array<u32, 8>(
    0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu,
  );
  let shift = first % 32u;
  let upper = words[first / 32u] << shift;
  return select(upper | (words[first / 32u + 1u] >> ((32u - shift) % 32u)), upper, shift == 0u);
}

// sin(x + quarter · π/2), within 8 · 2⁻²⁴ |y|: 0, 1, 2, 3 quarters are sin, cos, −sin, −cos. Payne and Hanek's reduction in integers,
// which no compiler reorders and no x is too large for: x = r + π/2 · turns, from the bits of x · 2/π that matter.
fn sine(x: f32, quarter: i32) -> f32 {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  if (bits >= 0x7f800000u) {
    return bitcast<f32>(bits | 0x7fc00000u);
  }
  var r = abs(x);
  var turns = quarter;
  let is_negative = x < 0.0;
  if (r > 0.785) {
    // x · 2/π modulo 4 is 2⁻⁹⁴ times the lower 96 bits of mantissa · window.
    let mantissa = (bits & 0x007fffffu) | 0x00800000u;
    let first = (bits >> 23u) - 120u;
    let window = vec3<u32>(two_over_pi(first), two_over_pi(first + 32u), two_over_pi(first + 64u));
    let carried = mul_high(mantissa, window.z);
    let low = mantissa * window.y + carried;
    let high = mantissa * window.x + mul_high(mantissa, window.y) + select(0u, 1u, low < carried);
    let part = bitcast<i32>((high << 2u) | (low >> 30u)); // in quarters of a turn, · 2³², from −½ on
    r = (f32(part) + f32(low << 2u) * 0x1p-32) * (0x1p-32 * 1.57079637);
    let whole = i32((high >> 30u) + select(0u, 1u, part < 0));
    turns = quarter + select(whole, -whole, is_negative);
  }
  r = select(r, -r, is_negative);
  let square = r * r;
  var s = -1.9515295891e-4;
  s = fma(s, square, 8.3321608736e-3);
  s = fma(s, square, -1.6666654611e-1);
  s = fma(s * square, r, r);
  var c = 2.443315711809948e-5;
  c = fma(c, square, -1.388731625493765e-3);
  c = fma(c, square, 4.166664568298827e-2);
  c = fma(square, -0.5, c * square * square) + 1.0;
  let y = select(s, c, (turns & 1) == 1);
  return select(y, -y, (turns & 2) == 2);
}

// tanh x: x + x³ p(x²) near 0, 1 − 2 / (e²ˣ + 1) elsewhere; within 8 · 2⁻²⁴ |y|.
fn hyperbolic_tangent(x: f32) -> f32 {
  let size = abs(x);
  if (size < 0.625) {
    let square = x * x;
    var p = -5.70498872745e-3;
    p = fma(p, square, 2.06390887954e-2);
    p = fma(p, square, -5.37397155531e-2);
    p = fma(p, square, 1.33314422036e-1);
    p = fma(p, square, -3.33332819422e-1);
    return fma(p * square, x, x);
  }
  let y = select(1.0 - 2.0 / (exponential(2.0 * size) + 1.0), 1.0, size > 9.1);
  return select(-y, y, x > 0.0);
}

// 1 / (1 + e⁻ˣ), within 12 · 2⁻²⁴ |y|.
fn logistic(x: f32) -> f32 {
  let e = exponential(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// log(1 + eˣ).
fn soft_plus(x: f32) -> f32 {
  return max(x, 0.0) + logarithm_of_1_plus(exponential(-abs(x)));
}

// e^(x²) (1 − erf x) for x ≥ 0: t q(t) with t = 1 / (1 + 0.3 x) and q fitted for x ≤ 9.6, to 2⁻²⁵; within 12 · 2⁻²⁴ |y|.
fn scaled_erf_complement(x: f32) -> f32 {
  let t = 1.0 / fma(0.3, x, 1.0);
  var q = -0.12945792;
  q = fma(q, t, 0.4852218);
  q = fma(q, t, -0.5115091);
  q = fma(q, t, 0.5467515);
  q = fma(q, t, -0.0939058);
  q = fma(q, t, 0.21456833);
  q = fma(q, t, 0.14844376);
  q = fma(q, t, 0.17069824);
  q = fma(q, t, 0.16918918);
  return t * q;
}

// erf x = 2/√π ∫₀ˣ e^(−u²) du: x + x p(x²) with p fitted to 2⁻²⁸ near 0.
fn error_function(x: f32) -> f32 {
  let size = abs(x);
  let square = x * x;
  if (size < 1.0) {
    var p = 7.853861e-5;
    p = fma(p, square, -8.0101937e-4);
    p = fma(p, square, 5.1883277e-3);
    p = fma(p, square, -2.6853813e-2);
    p = fma(p, square, 0.112835854);
    p = fma(p, square, -0.37612626);
    p = fma(p, square, 0.12837917);
    return fma(p, x, x);
  }
  let y = select(1.0 - exponential(-square) * scaled_erf_complement(size), 1.0, size > 4.0);
  return select(-y, y, x > 0.0);
}

// (1 + erf(x / √2)) / 2, within (20 + x²) · 2⁻²⁴ y: nothing cancels for negative x.
fn normal_distribution(x: f32) -> f32 {
  let tail = 0.5 * exponential(-0.5 * x * x) * scaled_erf_complement(abs(x) * 0.70710678);
  return select(1.0 - tail, tail, x < 0.0);
}

// log Φ(x), Φ the standard normal distribution: −x²/2 + log(e^(x²/2) Φ(x)) below −1, so that it goes on where Φ is no number any more;
// within (24 + x²) · 2⁻²⁴ |y| for x > 0, where y is about −φ(x) / x, and 16 · 2⁻²⁴ |y| below.
fn log_normal_distribution(x: f32) -> f32 {
  let z = abs(x) * 0.70710678;
  let inverse = 1.0 / (z * z);
  // Beyond the fit, the first terms of the asymptotic series.
  let far = 0.5641896 / z * fma(inverse, fma(inverse, 0.75, -0.5), 1.0);
  let scaled = 0.5 * select(scaled_erf_complement(z), far, z > 9.0);
  if (x < -1.0) {
    return fma(-0.5 * x, x, logarithm(scaled));
  }
  let tail = exponential(-0.5 * x * x) * scaled;
  if (x < 0.0) {
    return logarithm(tail);
  }
  return logarithm_of_1_plus(-tail);
}
