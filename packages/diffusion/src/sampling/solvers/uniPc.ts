// UniPC: a multistep predictor, and a corrector that uses the model's answer at the predicted place.

import { lambdaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import { checkOrder } from "../table/checkOptions.ts";
import { exponentialStep } from "../table/exponential.ts";
import { endsAtData } from "../table/levels.ts";
import { orderAt, places } from "../table/multistep.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, kept } from "../table/step.ts";
import { along } from "../table/terms.ts";

/** The order and form of UniPC. */
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
export const uniPc = defineSolver({
  name: "uniPc",
  source: "Zhao et al. 2023, algorithms 1, 2 and 8",
  order: 3,
  calls: 1,
  variants: {
    "order 3": { options: { order: 3, lowerOrderFinal: false }, order: 4 },
    "without corrector": { options: { corrector: false }, order: 2 },
  },
  table({ levels }: NoisePath, options: UniPcOptions) {
    const { order = 2, form = "bh2", corrector = true, lowerOrderFinal = true } = options;
    checkOrder("uniPc", order, 3);
    expectWord("uniPc", "form", form, ["bh1", "bh2"]);
    const orderOf = (index: number, done: number) => orderAt(levels, index, { order, done, lowerOrderFinal });
    /** x at a level, integrated to the next one. */
    const integrated = (x: string, index: number, estimates: readonly string[], nodes: readonly number[]) => {
      const slope = estimates.length === 2 ? form : "exact";
      return exponentialStep(x, estimates, { from: levels[index], to: levels[index + 1], nodes, of: "data", slope });
    };
    return (place) => {
      const { index, from, to, remembered } = place;
      const earlier = Array.from({ length: Math.max(0, remembered - 1) }, (_, k) => kept(k + 1));
      const nodesAt = (at: number, count: number) => places(levels, at, count, lambdaOf);
      const data = ask("x", from);
      const correction = orderOf(index - 1, earlier.length - 1);
      const isCorrected = corrector && remembered > 0;
      const corrected = () => {
        const nodes = [1, ...nodesAt(index - 1, correction)];
        return integrated(kept(0), index - 1, ["data", ...earlier.slice(0, correction)], nodes);
      };
      const found = { data, corrected: isCorrected ? corrected() : "x" };
      if (endsAtData(place)) return { rows: { ...found, next: along("corrected", "data", from, to) } };
      const count = orderOf(index, earlier.length);
      const used = ["data", ...earlier.slice(0, count - 1)];
      return {
        rows: { ...found, next: integrated("corrected", index, used, nodesAt(index, count)) },
        keep: ["corrected", "data", ...earlier.slice(0, order - 1)],
      };
    };
  },
});
