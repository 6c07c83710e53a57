// Predictor–corrector sampling: Langevin steps at each level that a predictor comes to.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import type { NoiseLevel } from "../../forward/level.ts";
import { type NoisePath, readScore } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import type { NoiseSource, Sampler } from "../sampler.ts";
import { liveLevel } from "./liveLevels.ts";

export interface CorrectorOptions {
  /** Langevin steps a level. Default 1. */
  readonly corrections?: number;
  /** r, the ratio of the noise's norm to the step's that sizes each step. Default 0.16 (VE on CIFAR-10; VP's is 0.01 there). */
  readonly snr?: number;
  /** What ‖z‖ and ‖s‖ are: means over the batch, as the paper's code has them (default), or each sample's own. */
  readonly norms?: "batch" | "sample";
}

/**
 * A step of the predictor, then Langevin steps at the level where it leads: x + ε s + √(2ε) z with ε = 2 α (r ‖z‖ / ‖s‖)²
 * (Song et al. 2021, algorithms 1, 4 and 5). α is (signal / signal′)² to the next level, the paper's 1 − β; 1 where signals are.
 * The data themselves are not corrected, nor is where ‖s‖ is 0.
 *
 * Norms over the batch tie the samples of a batch together; a sample's own ones are for data of many elements, since ε is then
 * a random number of its own.
 * @param predictor any sampler on the path: `reverseDiffusion(path)`, `eulerMaruyama(path)`, `euler(path)`
 * @throws Error for snr ≤ 0, corrections that are no integer from 1 on, and a predictor of other levels
 */
export function predictorCorrector(predictor: Sampler, path: NoisePath, options: CorrectorOptions = {}): Sampler {
  expectArguments("predictorCorrector", { predictor, path, options });
  const { corrections = 1, snr = 0.16, norms = "batch" } = options;
  if (!(snr > 0 && Number.isFinite(snr))) throw new Error(`predictorCorrector: snr is ${snr}, want a positive number`);
  if (!(Number.isInteger(corrections) && corrections >= 1))
    throw new Error(`predictorCorrector: ${corrections} corrections, want a positive integer`);
  const { levels, prior } = predictor;
  if (levels.length !== path.levels.length || levels.some(({ noise }, k) => noise !== path.levels[k].noise))
    throw new Error("predictorCorrector: the predictor visits other levels than the path, want the same");
  const isLast = (index: number) => levels[index + 1].noise === 0;
  expectWord("predictorCorrector", "norms", norms, ["batch", "sample"]);
  return {
    levels,
    prior,
    form: predictor.form && ((index, remembered) => `${predictor.form?.(index, remembered)} ${isLast(index)}`),
    step(call) {
      const { index, live } = call;
      const predicted = predictor.step(call);
      if (isLast(index)) return predicted;
      const level = liveLevel(() => levels[live.index + 1]);
      const below = liveLevel(() => levels[live.index + 2] ?? DATA);
      let { x } = predicted;
      for (let k = 0; k < corrections; k++) {
        const score = readScore(path, call.predict(x, level), x, level);
        x = correct(x, score, call.rng, { scale: () => snr * (level.signal / below.signal), norms });
      }
      return { ...predicted, x };
    },
  };
}

const DATA: NoiseLevel = { t: 0, signal: 1, noise: 0 };

/** x + ε s + √(2ε) z with √(ε / 2) = scale · ‖z‖ / ‖s‖. */
function correct(
  x: Tensor,
  score: Tensor,
  rng: NoiseSource,
  { scale, norms }: { readonly scale: () => number; readonly norms: "batch" | "sample" },
): Tensor {
  const noise = rng.normal(x.shape, { backend: x.backend });
  const [ofNoise, ofScore] = [noise, score].map((vector) => {
    const each = vector.reshape([x.shape[0], -1]).norm(1);
    return norms === "batch" ? each.mean() : each.reshape([x.shape[0], ...new Array<number>(x.rank - 1).fill(1)]);
  });
  // Without a score, as from a model whose last layer is 0, there is no step to size.
  const isZero = ofScore.equal(0);
  const ratio = isZero.where(0, ofNoise.div(isZero.where(1, ofScore)));
  const root = weightedSum([ratio], () => [scale()]);
  return x.add(score.mul(root.square().mul(2))).add(noise.mul(root.mul(2)));
}
