// exp_near_zero(r) = eʳ − 1 and power_of_two(n) = 2ⁿ: parts of exponential functions.

// eʳ − 1 for |r| ≤ ½ log 2: r + r² p(r), with Cephes' p.
fn exp_near_zero(r: f32) -> f32 {
  var p = 1.9875691500e-4;
  p = fma(p, r, 1.3981999507e-3);
  p = fma(p, r, 8.3334519073e-3);
  p = fma(p, r, 4.1665795894e-2);
  p = fma(p, r, 1.6666665459e-1);
  p = fma(p, r, 5.0000001201e-1);
  return fma(p, r * r, r);
}

// For n in [−126, 127].
fn power_of_two(n: f32) -> f32 {
  return bitcast<f32>(u32(i32(n) + 127) << 23u);
}
