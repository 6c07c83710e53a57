// Langevin dynamics with Metropolis and Hastings' correction (MALA): samples of p itself, where its density is known up to a factor.

import { ShapeError, type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { sumPerSample } from "../../objective/perSample.ts";
import type { Sampler, SamplerCall, SamplerState } from "../sampler.ts";
import { langevinStep, type ScoreWalkOptions, scoreAt, stationaryLevels } from "./langevin.ts";

/** The steps of the walk, and the density that it is corrected to. */
export interface MetropolisOptions extends ScoreWalkOptions {
  /** log p up to a constant, [batch, ...] → [batch]: an energy's negative. No sample goes where it is −∞ or NaN; start elsewhere. */
  logDensity(x: Tensor): Tensor;
}

/**
 * Proposes y = x + τ s(x) + √(2τ) z and goes there with probability min(1, p(y) q(x | y) / p(x) q(y | x)), else stays; each sample on
 * its own, on the device (Roberts & Tweedie 1996). p is stationary for every τ: a τ too large, or a score that is not p's, costs
 * acceptance alone (aim for 0.57, or more in few dimensions).
 *
 * Memory: the score and log p at x, and how often each sample moved, which `acceptance` reads.
 * @throws Error for steps < 1 and τ ≤ 0; ShapeError when log p is not [batch]
 */
export function metropolis(options: MetropolisOptions): Sampler {
  const levels = stationaryLevels("metropolis", options);
  const { stepSize } = options;
  expectArguments("metropolis", { logDensity: options.logDensity });
  const evaluate = (x: Tensor, predict: SamplerCall["predict"]) => {
    const { score } = scoreAt(predict(x, levels[0]), x, options);
    return { score, density: checkDensity(options.logDensity(x), x) };
  };
  return {
    levels,
    prior: options.prior ?? 1,
    step({ x, memory, predict, rng }) {
      const batch = x.shape[0];
      const column = [batch, ...new Array<number>(x.rank - 1).fill(1)];
      const [oldScore, oldDensity, moves] = memory;
      const here = oldScore ? { score: oldScore, density: oldDensity } : evaluate(x, predict);
      const proposal = langevinStep(x, here.score, stepSize, rng);
      const there = evaluate(proposal, predict);
      /** −4 τ log q(to | from) up to a constant. */
      const miss = (to: Tensor, from: Tensor, score: Tensor) =>
        sumPerSample(weightedSum([to, from, score], [1, -1, -stepSize]).square());
      const ratio = weightedSum(
        [there.density, here.density, miss(x, proposal, there.score), miss(proposal, x, here.score)],
        [1, -1, -1 / (4 * stepSize), 1 / (4 * stepSize)],
      );
      // −log u of a uniform u is half of a χ² of two degrees.
      const threshold = rng.normal([batch, 2], { backend: x.backend }).square().sum(1).mul(-0.5);
      const isAccepted = threshold.less(ratio);
      const choose = (moved: Tensor, stayed: Tensor) => isAccepted.reshape(column).where(moved, stayed);
      const next = choose(proposal, x);
      const score = choose(there.score, here.score);
      const density = isAccepted.where(there.density, here.density);
      const accepted = isAccepted.cast("float32");
      return {
        x: next,
        denoised: scoreAt(score, next, { level: levels[0] }).denoised,
        memory: [score, density, moves ? moves.add(accepted) : accepted],
      };
    },
  };
}

/**
 * The share of proposals that each sample accepted so far, [batch], from any state of a run of `metropolis`.
 * @throws Error before the first step
 */
export function acceptance(state: Pick<SamplerState, "memory" | "step">): Tensor {
  expectArguments("acceptance", { state });
  const { memory, step } = state;
  const moves = memory.at(2);
  if (!moves) throw new Error(`acceptance: a state of ${memory.length} tensors, want one of metropolis after a step`);
  return moves.mul(1 / step);
}

function checkDensity(density: Tensor, x: Tensor): Tensor {
  if (`${density.shape}` !== `${x.shape[0]}`)
    throw new ShapeError(`metropolis: log densities of shape [${density.shape}], want [${x.shape[0]}], one per sample`);
  return density;
}
