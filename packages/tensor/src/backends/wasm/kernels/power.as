// xʸ of float32, as C99 defines it.

/** xʸ of four each. */
export function power4(x: v128, y: v128): v128 {
  return f32x4(
    power(f32x4.extract_lane(x, 0), f32x4.extract_lane(y, 0)), power(f32x4.extract_lane(x, 1), f32x4.extract_lane(y, 1)),
    power(f32x4.extract_lane(x, 2), f32x4.extract_lane(y, 2)), power(f32x4.extract_lane(x, 3), f32x4.extract_lane(y, 3)),
  );
}

/** xʸ with C99's table of values, by float64 and so rounded once. */
function power(x: f32, y: f32): f32 {
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y) return x + y;
  const size = abs<f32>(x);
  const isWhole = floor<f32>(y) == y;
  if (x < 0 && !isWhole && size < Infinity) return NaN;
  let value: f32 = 1;
  if (size == 0 || size == Infinity || abs<f32>(y) == Infinity) {
    if (size != 1) value = (size > 1) == (y > 0) ? Infinity : 0;
  } else if (size != 1) {
    value = <f32>exp2(<f64>y * log2(<f64>size));
  }
  const isOdd = isWhole && abs<f32>(y) < 16777216 && (<i32>y & 1) == 1;
  return isOdd && reinterpret<u32>(x) >> 31 == 1 ? -value : value;
}

/** log₂ x of a normal x = m · 2ⁿ, m in [√½, √2): the series of the inverse hyperbolic tangent of (m − 1) / (m + 1). */
function log2(x: f64): f64 {
  const bits = reinterpret<i64>(x);
  const n = (bits - reinterpret<i64>(0.7071067811865476)) >> 52;
  const m = reinterpret<f64>(bits - (n << 52));
  const s = (m - 1) / (m + 1);
  const z = s * s;
  let sum: f64 = 1.0 / 15;
  sum = sum * z + 1.0 / 13;
  sum = sum * z + 1.0 / 11;
  sum = sum * z + 1.0 / 9;
  sum = sum * z + 1.0 / 7;
  sum = sum * z + 1.0 / 5;
  sum = sum * z + 1.0 / 3;
  sum = sum * z + 1;
  return <f64>n + 2.8853900817779268 * s * sum;
}

/** 2ˣ, infinite from float32's largest number on and 0 below its smallest. */
function exp2(x: f64): f64 {
  if (x >= 128) return Infinity;
  if (x < -150) return 0;
  const n = nearest<f64>(x);
  const r = (x - n) * 0.6931471805599453;
  let sum: f64 = 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1;
  sum = sum * r + 1;
  return sum * reinterpret<f64>((<i64>n + 1023) << 52);
}
