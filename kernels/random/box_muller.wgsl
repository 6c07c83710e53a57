// box_muller(words) = √(−2 log u) (cos θ, sin θ), four normals of four words: the same bits everywhere.

fn zero() -> u32 { return 0u; } // from kernels a 0 that the compiler cannot know

// x; no compiler can fuse or reorder operations across it.
fn opaque2(x: vec2<f32>) -> vec2<f32> {
  return bitcast<vec2<f32>>(bitcast<vec2<u32>>(x) ^ vec2<u32>(zero()));
}

// p · x + c in two roundings.
fn horner(p: vec2<f32>, x: vec2<f32>, c: f32) -> vec2<f32> {
  return opaque2(opaque2(p * x) + c);
}

// Natural logarithm of 2⁻³² · w for odd w, of which the upper 24 significant bits count.
fn log_fraction(w: vec2<u32>) -> vec2<f32> {
  let zeros = countLeadingZeros(w);
  let mantissa = (w << zeros) >> vec2<u32>(8u);
  let is_low = mantissa < vec2<u32>(0xb504f3u); // 2²⁴ · √½
  let doubled = select(mantissa, 2u * mantissa, is_low);
  let x = opaque2(vec2<f32>(vec2<i32>(doubled) - 0x1000000) * 0x1p-24); // in [√½ − 1, √2 − 1)
  let halvings = vec2<f32>(select(zeros, zeros + 1u, is_low));
  var p = vec2<f32>(-0.0763449669f); // log(1 + x) = x − x²/2 + x³ p(x), to 2⁻²⁷
  p = horner(p, x, 0.127615765f);
  p = horner(p, x, -0.131601825f);
  p = horner(p, x, 0.142017573f);
  p = horner(p, x, -0.166233569f);
  p = horner(p, x, 0.200012267f);
  p = horner(p, x, -0.250008196f);
  p = horner(p, x, 0.333333313f);
  let square = opaque2(x * x);
  var rest = opaque2(opaque2(p * x) * square);
  rest = opaque2(rest + opaque2(halvings * 0.00021219444f)); // 0.693359375 − log 2
  rest = opaque2(rest - opaque2(0.5f * square));
  return opaque2(opaque2(x + rest) - opaque2(halvings * 0.693359375f));
}

// Square roots of normal positive numbers: Newton's steps towards 1/√t from its bits, and one towards √t.
fn square_root(t: vec2<f32>) -> vec2<f32> {
  let half = opaque2(0.5f * t);
  var inverse = bitcast<vec2<f32>>(vec2<u32>(0x5f375a86u) - (bitcast<vec2<u32>>(t) >> vec2<u32>(1u)));
  inverse = opaque2(inverse * opaque2(1.5f - opaque2(half * opaque2(inverse * inverse))));
  inverse = opaque2(inverse * opaque2(1.5f - opaque2(half * opaque2(inverse * inverse))));
  let root = opaque2(t * inverse);
  return opaque2(root + opaque2(opaque2(0.5f * inverse) * opaque2(t - opaque2(root * root))));
}

// Four normals: √(−2 log u) (cos θ, sin θ) with u = (w | 1) / 2³² of words x and z, θ of words y and w.
fn box_muller(words: vec4<u32>) -> vec4<f32> {
  let radius = square_root(opaque2(-2f * log_fraction(words.xz | vec2<u32>(1u))));
  let turn = words.yw;
  let quadrant = turn >> vec2<u32>(30u);
  let part = vec2<i32>((turn << vec2<u32>(2u)) >> vec2<u32>(8u));
  let x = opaque2(vec2<f32>(2 * part - 0xffffff) * 0x1p-25); // θ = π/2 · (quadrant + x), x in (−½, ½)
  let square = opaque2(x * x);
  var p = vec2<f32>(-0.00460165413f); // sin(π/2 · x) = x (fl(π/2) + p(x²)), to 2⁻²⁷
  p = horner(p, square, 0.079680033f);
  p = horner(p, square, -0.64596343f);
  p = horner(p, square, -4.87987393e-8f);
  let sine = opaque2(opaque2(x * 1.57079637f) + opaque2(x * p));
  var cosine = vec2<f32>(0.000904021203f); // to 2⁻²⁷
  cosine = horner(cosine, square, -0.0208602883f);
  cosine = horner(cosine, square, 0.253669232f);
  cosine = horner(cosine, square, -1.23370051f);
  cosine = horner(cosine, square, 1f);
  let is_odd = (quadrant & vec2<u32>(1u)) == vec2<u32>(1u);
  let cos_sign = ((quadrant + 1u) & vec2<u32>(2u)) << vec2<u32>(30u);
  let sin_sign = (quadrant & vec2<u32>(2u)) << vec2<u32>(30u);
  let cos_turn = bitcast<vec2<f32>>(bitcast<vec2<u32>>(select(cosine, sine, is_odd)) ^ cos_sign);
  let sin_turn = bitcast<vec2<f32>>(bitcast<vec2<u32>>(select(sine, cosine, is_odd)) ^ sin_sign);
  let a = opaque2(radius * cos_turn);
  let b = opaque2(radius * sin_turn);
  return vec4<f32>(a.x, b.x, a.y, b.y);
}

// x; no compiler can fuse or reorder operations across it.
fn opaque4(x: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(zero()));
}
