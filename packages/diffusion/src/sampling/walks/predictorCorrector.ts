// Predictor–corrector sampling: Langevin steps at each level of a predictor.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import type { NoiseLevel } from "../../forward/level.ts";
import { type NoisePath, readScore } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import type { NoiseSource, Sampler, SamplerCall } from "../sampler.ts";

/** The corrector's steps, and their place beside the predictor's. */
export interface CorrectorOptions {
  /**
   * What comes first in a step: the predictor, then the corrector at the level where it leads (default; the paper's algorithms), or the
   * corrector at the level where x stands, then the predictor (the paper's code).
   */
  readonly first?: "predictor" | "corrector";
  /** Langevin steps per level. Default 1. */
  readonly corrections?: number;
  /** r, the ratio of the noise's norm to the step's that sizes each step. Default 0.16 (VE on CIFAR-10; VP's is 0.01 there). */
  readonly snr?: number;
  /** What ‖z‖ and ‖s‖ are: means over the batch, as the paper's code has them (default), or each sample's own. */
  readonly norms?: "batch" | "sample";
}

/**
 * A step of the predictor, and Langevin steps at the level where it leads, or begins: x + ε s + √(2ε) z with ε = 2 α (r ‖z‖ / ‖s‖)²
 * (Song et al. 2021, algorithms 1, 4 and 5). α is (signal / signal′)² from the level of the correction to the next, the paper's 1 − β;
 * it is 1 where signals are. The data themselves are not corrected, nor is x where ‖s‖ is 0.
 *
 * Norms over the batch tie the samples of a batch together; a sample's own ones are for data of many elements, since ε is then
 * a random number of its own.
 * @param predictor any sampler on the path: `reverseDiffusion(path)`, `eulerMaruyama(path)`, `euler(path)`
 * @throws Error for snr ≤ 0, corrections that are no integer from 1 on, and a predictor of other levels
 */
export function predictorCorrector(predictor: Sampler, path: NoisePath, options: CorrectorOptions = {}): Sampler {
  expectArguments("predictorCorrector", { predictor, path, options });
  const { first = "predictor", corrections = 1, snr = 0.16, norms = "batch" } = options;
  if (!(snr > 0 && Number.isFinite(snr))) throw new Error(`predictorCorrector: snr is ${snr}, want a positive number`);
  if (!(Number.isInteger(corrections) && corrections >= 1))
    throw new Error(`predictorCorrector: ${corrections} corrections, want a positive integer`);
  const { levels, prior } = predictor;
  if (levels.length !== path.levels.length || levels.some(({ noise }, k) => noise !== path.levels[k].noise))
    throw new Error("predictorCorrector: the predictor visits other levels than the path, want the same");
  const isLast = (index: number) => levels[index + 1].noise === 0;
  expectWord("predictorCorrector", "norms", norms, ["batch", "sample"]);
  expectWord("predictorCorrector", "first", first, ["predictor", "corrector"]);
  /** x after Langevin steps at the level of an index. */
  const corrected = (call: SamplerCall, start: Tensor, index: number): Tensor => {
    const [level, below = DATA] = [levels[index], levels[index + 1]];
    let x = start;
    for (let k = 0; k < corrections; k++) {
      const score = readScore(path, call.predict(x, level), x, level);
      x = correct(x, score, call.rng, { scale: snr * (level.signal / below.signal), norms });
    }
    return x;
  };
  return {
    levels,
    prior,
    step(call) {
      const { index } = call;
      if (first === "corrector") return predictor.step({ ...call, x: corrected(call, call.x, index) });
      const predicted = predictor.step(call);
      return isLast(index) ? predicted : { ...predicted, x: corrected(call, predicted.x, index + 1) };
    },
  };
}

const DATA: NoiseLevel = { t: 0, signal: 1, noise: 0 };

/** x + ε s + √(2ε) z with √(ε / 2) = scale · ‖z‖ / ‖s‖. */
function correct(
  x: Tensor,
  score: Tensor,
  rng: NoiseSource,
  { scale, norms }: { readonly scale: number; readonly norms: "batch" | "sample" },
): Tensor {
  const noise = rng.normal(x.shape, { backend: x.backend });
  const [ofNoise, ofScore] = [noise, score].map((vector) => {
    const each = vector.reshape([x.shape[0], -1]).norm(1);
    return norms === "batch" ? each.mean() : each.reshape([x.shape[0], ...new Array<number>(x.rank - 1).fill(1)]);
  });
  // Without a score, as from a model whose last layer is 0, there is no step to size.
  const isZero = ofScore.equal(0);
  const ratio = isZero.where(0, ofNoise.div(isZero.where(1, ofScore)));
  const root = weightedSum([ratio], [scale]);
  return x.add(score.mul(root.square().mul(2))).add(noise.mul(root.mul(2)));
}
