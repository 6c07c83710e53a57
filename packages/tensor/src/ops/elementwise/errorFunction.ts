// The error function on the host in float64, to about 1e-14. The float32 kernels are tested against it.

/** erf x = 2/√π ∫₀ˣ e^(−u²) du. */
export function erf(x: number): number {
  const size = Math.abs(x);
  return Math.sign(x) * (size < SWITCH ? series(size) : 1 - fraction(size));
}

/** 1 − erf x, with a small relative error also for large x. */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  return x < SWITCH ? 1 - series(x) : fraction(x);
}

/**
 * ln Φ(x) = ln(½ erfc(−x / √2)), with Φ the distribution function of the standard normal. The relative error is small for all
 * x.
 */
export function logNormalDistribution(x: number): number {
  if (x >= 0) return Math.log1p(-0.5 * erfc(x * Math.SQRT1_2));
  const z = -x * Math.SQRT1_2;
  return z < SWITCH ? Math.log(0.5 * erfc(z)) : Math.log(0.5 * scaledFraction(z)) - 0.5 * x * x;
}

/** From here on the series needs more terms than the fraction, and 1 − erf x loses digits. */
const SWITCH = 2;

/** erf x = 2/√π e^(−x²) Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 · … · (2n + 1)) for x ≥ 0: no term cancels another. */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * Number.EPSILON; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function fraction(x: number): number {
  return Math.exp(-x * x) * scaledFraction(x);
}

/** e^(x²) erfc x = 1/√π · 1 / (x + ½ / (x + 1 / (x + 3/2 / (x + …)))), evaluated from the inside (Abramowitz & Stegun 7.1.14). */
function scaledFraction(x: number): number {
  let tail = x;
  for (let k = 120; k > 0; k--) tail = x + k / 2 / tail;
  return 1 / (Math.sqrt(Math.PI) * tail);
}
