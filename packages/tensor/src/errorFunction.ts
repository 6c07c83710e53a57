// The error function on the host in double precision, to about 1e-14: what the float32 kernels are tested against.

/** erf x = 2/√π ∫₀ˣ e^(−u²) du. */
export function erf(x: number): number {
  const size = Math.abs(x);
  return Math.sign(x) * (size < SWITCH ? series(size) : 1 - fraction(size));
}

/** 1 − erf x, with small relative error also where erf x is close to 1. */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  return x < SWITCH ? 1 - series(x) : fraction(x);
}

/** The series needs more terms from here on than the fraction, and 1 − erf x loses digits. */
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

/** erfc x = e^(−x²)/√π · 1 / (x + ½ / (x + 1 / (x + 3/2 / (x + …)))), evaluated from the inside (Abramowitz & Stegun 7.1.14). */
function fraction(x: number): number {
  let tail = x;
  for (let k = 120; k > 0; k--) tail = x + k / 2 / tail;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * tail);
}
