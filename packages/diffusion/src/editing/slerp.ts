// Interpolation between noises that keeps their length, as samplers expect it of what they start from.

import { type Tensor, tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/**
 * sin((1 − w) θ) / sin θ · a + sin(w θ) / sin θ · b with θ the angle between the two (Shoemake 1985), for each sample: at w from 0 to 1
 * an arc from a to b. In high dimensions the straight line (`a.lerp(b, w)`) comes too close to 0 for noise. θ is found in float64 on
 * the host, which a and b are read to. Where they are parallel, or one is 0, it is the straight line.
 * @param a [batch, ...], as b
 * @throws Error when shapes differ, w or a length is not finite, or two samples point in opposite directions, between which many arcs lead
 */
export async function slerp(a: Tensor, b: Tensor, weight: number): Promise<Tensor> {
  expectArguments("slerp", { a, b });
  if (`${a.shape}` !== `${b.shape}`) throw new Error(`slerp: [${a.shape}] and [${b.shape}], want equal shapes`);
  if (!Number.isFinite(weight)) throw new Error(`slerp: weight is ${weight}, want a finite number`);
  const [from, to] = await Promise.all([a.data(), b.data()]);
  const batch = a.shape[0] ?? 1;
  const length = from.length / batch;
  const result = Float64Array.from(from);
  for (let k = 0; k < batch; k++) {
    const [first, last] = [k * length, (k + 1) * length];
    const [ofA, ofB] = arcWeights(angle(from.subarray(first, last), to.subarray(first, last), k), weight);
    for (let i = first; i < last; i++) result[i] = ofA * from[i] + ofB * to[i];
  }
  return tensor(result, { backend: a.backend, shape: a.shape });
}

function arcWeights(theta: number, weight: number): readonly [number, number] {
  const sine = Math.sin(theta);
  if (sine < 1e-8) return [1 - weight, weight]; // the limit, exact to rounding from here on
  return [Math.sin((1 - weight) * theta) / sine, Math.sin(weight * theta) / sine];
}

/** In [0, π), by the lengths of sum and difference of the unit vectors, which lose no digits near 0 (Kahan 2006); 0 for a vector 0. */
function angle(a: ArrayLike<number>, b: ArrayLike<number>, sample: number): number {
  const norms = [a, b].map((vector) => Math.sqrt(sumOver(vector.length, (i) => vector[i] ** 2)));
  const wrong = norms.find((norm) => !Number.isFinite(norm));
  if (wrong !== undefined) throw new Error(`slerp: sample ${sample} has the length ${wrong}, want finite numbers`);
  if (norms.includes(0)) return 0;
  const apart = (sign: number) =>
    Math.sqrt(sumOver(a.length, (i) => (a[i] / norms[0] + (sign * b[i]) / norms[1]) ** 2));
  const theta = 2 * Math.atan2(apart(-1), apart(1));
  if (Math.sin(theta) < 1e-8 && theta > 1)
    throw new Error(`slerp: sample ${sample} of a and of b point in opposite directions, want a way between them`);
  return theta;
}

function sumOver(n: number, term: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += term(i);
  return sum;
}
