// Which steps a loss is taken at: uniform, spread over a batch, or where the loss is large.

import type { Times } from "@pkg/nn";
import { type Backend, type RandomStream, tensor, wrongArgument } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/** Steps drawn for a batch, [batch]: a list, or an int32 tensor, which those of this file are. */
export interface DrawnTimes {
  /** The steps. */
  readonly times: Times;
  /** What makes a mean over them one over all steps equally: 1 / (p_t T), a list or a float32 tensor. Default: 1 each. */
  readonly weights?: Times;
}

/**
 * A way of drawing one of T steps for each sample of a batch.
 * @param backend where the tensors are made; by default the default backend
 */
export type TimestepSampler = (steps: number, batch: number, rng: RandomStream, backend?: Backend) => DrawnTimes;

/** Each step equally, independently (Ho et al. 2020, algorithm 1). */
export function uniformTimes(): TimestepSampler {
  return (steps, batch, rng, backend) => ({ times: rng.integers(0, steps, [batch], { backend }) });
}

/** One uniform place in each of `batch` equal parts of the steps: less variance, the same expectation. */
export function stratifiedTimes(): TimestepSampler {
  return (steps, batch, rng, backend) => {
    const drawn = Int32Array.from(rng.host.uniform([batch]), (u, i) => stepAt((i + u) / batch, steps));
    return { times: tensor(drawn, { backend }) };
  };
}

/** (u + i / batch) mod 1 with one u for the whole batch (Kingma et al. 2021, appendix I.1). */
export function lowDiscrepancyTimes(): TimestepSampler {
  return (steps, batch, rng, backend) => {
    const u = rng.next();
    const drawn = Int32Array.from({ length: batch }, (_, i) => stepAt((u + i / batch) % 1, steps));
    return { times: tensor(drawn, { backend }) };
  };
}

/** Draws each step in proportion to the losses seen there. */
export interface LossAwareSampler {
  /** Draws the steps of a batch. */
  readonly draw: TimestepSampler;
  /** p_t: uniform until every step has its history. */
  probabilities(): Float64Array;
  /**
   * Takes in the losses of samples, without the weights of the draw: the data of what `report` of the losses gives.
   * @throws Error for a step out of range, or a loss that is not finite
   */
  update(times: ArrayLike<number>, losses: ArrayLike<number>): void;
  /** As plain JSON: `restore` goes on from there. */
  state(): LossHistory;
  /** Continues from a state. @throws Error for the state of another number of steps, or losses that are not finite */
  restore(state: LossHistory): void;
}

/** The last losses of each step, the oldest first. */
export interface LossHistory {
  /** The losses by step. */
  readonly losses: readonly (readonly number[])[];
}

/**
 * p_t ∝ √E[L_t²] over the last losses of each step (Nichol & Dhariwal 2021, eq. 18), mixed with a little of the uniform; uniform
 * until every step has `history` losses.
 * @param options history: 10 by default; uniform: the share of the uniform distribution, 0.001 by default
 * @throws Error for options out of range
 */
export function lossAwareTimes(
  steps: number,
  options: { readonly history?: number; readonly uniform?: number } = {},
): LossAwareSampler {
  expectArguments("lossAwareTimes", { options });
  const { history = 10, uniform = 0.001 } = options;
  for (const [name, value] of Object.entries({ steps, history })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new Error(`lossAwareTimes: ${name} is ${value}, want a positive integer`);
    }
  }
  if (!(uniform > 0 && uniform <= 1)) throw new Error(`lossAwareTimes: uniform is ${uniform}, want a number in (0, 1]`);
  let losses: number[][] = Array.from({ length: steps }, () => []);

  const probabilities = (): Float64Array => {
    const equal = new Float64Array(steps).fill(1 / steps);
    if (losses.some((seen) => seen.length < history)) return equal;
    const most = losses.flat().reduce((a, loss) => Math.max(a, Math.abs(loss)), 0);
    // In units of a power of two, which costs no digit: no square overflows, nor do all vanish.
    const unit = most > 0 ? 2 ** Math.floor(Math.log2(most)) : 1;
    const sizes = losses.map((seen) => Math.sqrt(seen.reduce((sum, loss) => sum + (loss / unit) ** 2, 0) / history));
    const total = sizes.reduce((a, b) => a + b, 0);
    return total > 0 ? equal.map((p, t) => (1 - uniform) * (sizes[t] / total) + uniform * p) : equal;
  };

  return {
    probabilities,
    draw(total, batch, rng, backend) {
      if (total !== steps) throw new Error(`lossAwareTimes: of ${steps} steps, used with a schedule of ${total}`);
      const p = probabilities();
      const upTo = new Float64Array(steps);
      for (let t = 0, sum = 0; t < steps; t++) {
        sum += p[t];
        upTo[t] = sum;
      }
      const drawn = Int32Array.from({ length: batch }, () => {
        const u = rng.next() * upTo[steps - 1];
        return upTo.findIndex((sum) => u < sum);
      });
      const weights = Float64Array.from(drawn, (t) => 1 / (p[t] * steps));
      return { times: tensor(drawn, { backend }), weights: tensor(weights, { backend }) };
    },
    update(times, seen) {
      if (seen.length !== times.length) {
        throw new Error(`lossAwareTimes: ${seen.length} losses for ${times.length} times, want one each`);
      }
      const steps = Array.from(times);
      for (const [i, t] of steps.entries()) {
        if (!losses[t]) throw new Error(`lossAwareTimes: t is ${t}, want an integer in [0, ${losses.length - 1}]`);
        if (!Number.isFinite(seen[i])) {
          throw new Error(`lossAwareTimes: the loss of step ${t} is ${seen[i]}, want a finite number`);
        }
      }
      for (const [i, t] of steps.entries()) losses[t] = [...losses[t], seen[i]].slice(-history);
    },
    state: () => ({ losses: losses.map((seen) => [...seen]) }),
    restore(state) {
      const { losses: given } = state ?? {};
      if (!Array.isArray(given)) throw wrongArgument("lossAwareTimes", "state.losses", given, "a list for each step");
      if (given.length !== steps)
        throw new Error(`lossAwareTimes: a state of ${given.length} steps, want one of ${steps}`);
      for (const [t, seen] of given.entries()) {
        if (!Array.isArray(seen))
          throw wrongArgument("lossAwareTimes", `state.losses[${t}]`, seen, "a list of numbers");
        for (const loss of seen)
          if (!Number.isFinite(loss))
            throw new Error(`lossAwareTimes: a state with the loss ${loss}, want finite numbers`);
      }
      losses = given.map((seen) => seen.slice(-history));
    },
  };
}

/** The step at a share of all. Rounding may make it 1. */
function stepAt(share: number, steps: number): number {
  return Math.min(steps - 1, Math.floor(share * steps));
}
