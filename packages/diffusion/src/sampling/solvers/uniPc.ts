// UniPC: a multistep predictor, corrected when the model was asked at the place it predicted.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { lambdaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import type { Sampler } from "../sampler.ts";
import { along } from "./along.ts";
import { checkOrder } from "./checkOptions.ts";
import { exponentialStep } from "./exponential.ts";
import { endsAtData, liveLevel, stepLevels } from "./liveLevels.ts";
import { orderAt, places } from "./multistep.ts";

export interface UniPcOptions {
  /** p of UniP-p and UniC-p, in [1, 3]. Default 2. */
  readonly order?: number;
  /** B(h) of slopes from two estimates: h ("bh1") or e^h − 1 ("bh2"; default). Where there are more it cancels. */
  readonly form?: "bh1" | "bh2";
  /** Whether steps are corrected; UniP alone otherwise. Default true. */
  readonly corrector?: boolean;
  /** Whether the last steps are of order …, 2, 1. Default true. */
  readonly lowerOrderFinal?: boolean;
}

/**
 * UniPC on x̂₀ (Zhao et al. 2023, algorithms 1, 2 and 8): the exponential integrator with the polynomial through the last p estimates
 * predicts x at the next level; the one through the estimate there as well corrects it, with no further call of the model. Of order
 * p + 1 with the corrector. The step to the data has one estimate, x′ = x̂₀, and is not corrected.
 * Memory: the corrected x of the step before, and earlier x̂₀, the newest first.
 * @throws Error for another order
 */
export function uniPc(path: NoisePath, options: UniPcOptions = {}): Sampler {
  expectArguments("uniPc", { path, options });
  const { order = 2, form = "bh2", corrector = true, lowerOrderFinal = true } = options;
  checkOrder("uniPc", order, 3);
  const { levels, prior } = path;
  const nodesAt = (index: number, count: number) => places(levels, index, count, lambdaOf);
  const isLast = endsAtData(levels);
  const orderOf = (index: number, done: number) => orderAt(levels, index, { order, done, lowerOrderFinal });
  /** How many estimates the correction and the step take, where `earlier` ones are remembered. */
  const counts = (index: number, earlier: number) =>
    [orderOf(index - 1, earlier - 1), orderOf(index, earlier)] as const;
  expectWord("uniPc", "form", form, ["bh1", "bh2"]);
  return {
    levels,
    prior,
    form: (index, remembered) => `${isLast(index)} ${counts(index, remembered - 1)}`,
    step({ x: predicted, index, live, memory, predict }) {
      const [from, to] = stepLevels(levels, live);
      const denoised = path.denoise(predict(predicted, from), predicted, from);
      const [before, ...earlier] = memory;
      const [correction, count] = counts(index, earlier.length);

      const corrected = (): Tensor =>
        exponentialStep(before, [denoised, ...earlier.slice(0, correction)], {
          from: liveLevel(() => levels[live.index - 1]),
          to: from,
          nodes: () => [1, ...nodesAt(live.index - 1, correction)],
          of: "data",
          slope: correction === 1 ? form : "exact",
        });
      const x = corrector && before ? corrected() : predicted;
      if (isLast(index)) return { x: along(x, denoised, from, to), denoised };

      const next = exponentialStep(x, [denoised, ...earlier.slice(0, count - 1)], {
        from,
        to,
        nodes: () => nodesAt(live.index, count),
        of: "data",
        slope: count === 2 ? form : "exact",
      });
      return { x: next, denoised, memory: [x, denoised, ...earlier.slice(0, order - 1)] };
    },
  };
}
