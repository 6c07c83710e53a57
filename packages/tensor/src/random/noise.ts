// addNoise and dropout: their kernels draw random numbers in registers.

import { expectNumber, expectStream, expectTensor, expectTensors } from "../argument.ts";
import { allOrNothing } from "../memory/memory.ts";
import { dropout as dropoutOp, noiseAdd } from "../ops/index.ts";
import { apply, type Tensor } from "../tensor.ts";
import type { RandomStream } from "./random.ts";

// Operands are checked before a draw is taken; any draw serves for that.
const ANY_DRAW = { key: [0, 0], index: 0 } as const;

/**
 * signal · x0 + noise · ε with standard normal ε, in one pass: x_t = √ᾱ_t x0 + √(1 − ᾱ_t) ε (Ho et al. 2020, arXiv:2006.11239,
 * eq. 4). The results have the same bits on all float32 backends, and ε has those of `rng.normal(x0.shape)`.
 * @param x0 [batch, ...]
 * @param signal [batch]
 * @param noise [batch]
 * @param rng gives one draw
 * @returns `noisy` and `noise` (ε), both [batch, ...]. ε is a constant; `noisy` is differentiable by x0, signal and noise
 * @throws ShapeError when signal or noise is not [batch]
 */
export function addNoise(
  x0: Tensor,
  signal: Tensor,
  noise: Tensor,
  rng: RandomStream,
): { noisy: Tensor; noise: Tensor } {
  expectTensors("addNoise", "[x0, signal, noise]", [x0, signal, noise]);
  const { backend, shape } = x0;
  expectStream("addNoise", rng);
  noiseAdd.infer([x0, signal, noise], ANY_DRAW);
  return allOrNothing(() => {
    const draw = rng.take();
    if (draw) {
      const [noisy, epsilon] = apply(noiseAdd, [x0, signal, noise], draw, backend);
      return { noisy, noise: epsilon };
    }
    const epsilon = rng.normal(shape, { backend });
    const perSample = [shape[0], ...shape.slice(1).map(() => 1)];
    const noisy = x0.mul(signal.reshape(perSample)).add(epsilon.mul(noise.reshape(perSample)));
    return { noisy, noise: epsilon };
  });
}

/**
 * Sets each element to 0 with probability `rate`, and divides the others by 1 − rate. No mask is stored: the gradient draws it
 * again.
 * @param rate in [0, 1); 0 gives x itself and draws nothing
 * @param rng gives one draw
 * @throws Error for another rate
 */
export function dropout(x: Tensor, rate: number, rng: RandomStream): Tensor {
  expectTensor("dropout", "x", x);
  expectNumber("dropout", "rate", rate);
  expectStream("dropout", rng);
  dropoutOp.infer([x], { ...ANY_DRAW, rate });
  if (rate === 0) return x;
  const { backend, shape } = x;
  return allOrNothing(() => {
    const draw = rng.take();
    if (draw) return apply(dropoutOp, [x], { ...draw, rate }, backend)[0];
    return rng.bernoulli(1 - rate, shape, { backend }).where(x.mul(1 / (1 - rate)), 0);
  });
}
