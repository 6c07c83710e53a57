// Normal numbers from random words in float32, operation by operation as `box_muller` in the kernels: the same bits.

const { fround } = Math;
const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

// log(1 + x) = x − x²/2 + x³ p(x) on [√½ − 1, √2 − 1); sin(π/2 x) = x (fl(π/2) + p(x²)) and cos(π/2 x) = p(x²) on [−½, ½].
// Minimax fits to 2⁻²⁷, highest power first.
const LOG = Float32Array.from([
  -0.0763449669, 0.127615765, -0.131601825, 0.142017573, -0.166233569, 0.200012267, -0.250008196, 0.333333313,
]);
const SINE = Float32Array.from([-0.00460165413, 0.079680033, -0.64596343, -4.87987393e-8]);
const COSINE = Float32Array.from([0.000904021203, -0.0208602883, 0.253669232, -1.23370051, 1]);

/**
 * √(−2 log u) cos θ and √(−2 log u) sin θ (Box and Muller 1958): u is (w | 1) / 2³² cut to 24 significant bits, θ a turn in
 * steps of 2⁻²⁶ turns. Within 1.2e-6 of the same in exact arithmetic; at most 6.7 in size.
 */
export function boxMuller(w: number, turn: number): [number, number] {
  const radius = squareRoot(fround(-2 * logFraction((w | 1) >>> 0)));
  const quadrant = turn >>> 30;
  const x = (2 * ((turn << 2) >>> 8) - 0xffffff) * 2 ** -25; // θ = π/2 · (quadrant + x)
  const square = fround(x * x);
  const sine = fround(fround(x * fround(1.57079637)) + fround(x * polynomial(SINE, square)));
  const cosine = polynomial(COSINE, square);
  const [c, s] = quadrant % 2 === 0 ? [cosine, sine] : [sine, cosine];
  return [fround(radius * (quadrant === 1 || quadrant === 2 ? -c : c)), fround(radius * (quadrant >= 2 ? -s : s))];
}

/** log(w / 2³²) for odd w, of which the upper 24 significant bits count. */
function logFraction(w: number): number {
  const zeros = Math.clz32(w);
  const mantissa = (w << zeros) >>> 8;
  const isLow = mantissa < 0xb504f3; // 2²⁴ · √½
  const x = ((isLow ? 2 * mantissa : mantissa) - 2 ** 24) * 2 ** -24;
  const halvings = isLow ? zeros + 1 : zeros;
  const square = fround(x * x);
  let rest = fround(fround(polynomial(LOG, x) * x) * square);
  rest = fround(rest + fround(halvings * fround(0.00021219444))); // 0.693359375 − log 2
  rest = fround(rest - fround(0.5 * square));
  return fround(fround(x + rest) - halvings * 0.693359375);
}

/** √t: Newton's steps towards 1/√t from its bits, and one towards √t. */
function squareRoot(t: number): number {
  FLOAT[0] = t;
  BITS[0] = 0x5f375a86 - (BITS[0] >>> 1);
  let inverse = FLOAT[0];
  for (let step = 0; step < 2; step++) {
    inverse = fround(inverse * fround(1.5 - fround(fround(0.5 * t) * fround(inverse * inverse))));
  }
  const root = fround(t * inverse);
  return fround(root + fround(fround(0.5 * inverse) * fround(t - fround(root * root))));
}

/** Horner's rule, each product and each sum rounded. */
function polynomial(coefficients: Float32Array, x: number): number {
  return coefficients.reduce((p, c) => fround(fround(p * x) + c));
}
