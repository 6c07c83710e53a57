// Adaptive projected guidance: of the difference that a label makes only what does not lengthen the conditional estimate.

import { concat, type Tensor, tidy, weightedSum } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { type Clip, clipped, type NoisePath } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import { asColumn, sumPerSample } from "../objective/perSample.ts";
import { expectClip } from "../optionWords.ts";
import type { Sampler, SamplerCall } from "../sampling/sampler.ts";
import { checkScale } from "./autoguidance.ts";
import { bothBranches, labelsOf } from "./branches.ts";

/** The strength of adaptive projected guidance, and what it keeps of the difference. */
export interface AdaptiveProjectedOptions {
  /** w of D_c + (w − 1) Δ: 1 for the conditional estimate alone. */
  readonly scale: number;
  /** η, the share that is kept of the difference's part along D_c. Default 0. With 1 and nothing else it is `classifierFree`. */
  readonly parallel?: number;
  /** β of Δ ← D_c − D_u + β Δ of the step before, in (−1, 1). Negative ones, −0.75 to −0.25, push away from it. Default 0. */
  readonly momentum?: number;
  /** r, the longest Δ of a sample (L2 over its elements). Default: any. */
  readonly norm?: number;
  /** Of the guided estimate. Default false. */
  readonly clip?: Clip;
  /** The number of classes, which stands for no label in a tensor of labels. */
  readonly classes?: number;
}

/**
 * D_c + (w − 1) (Δ⊥ + η Δ∥) with Δ = D_c − D_u + β Δ_before, shortened to r, and Δ∥ its part along D_c (Sadat et al. 2025, algorithm 1):
 * the part along D_c oversaturates, the rest improves. All are estimates x̂₀, whatever the model predicts.
 *
 * Δ is state between steps. It is the first tensor of the sampler's memory, so that a run that is stopped and resumed is whole. A step makes
 * one Δ, by its first call of the model; its other calls, of solvers with several, add β times the same Δ_before to their own difference.
 * @param solver makes a sampler of a path: `heun`, or `(path) => ddim(path, { eta: 1 })`
 * @param path reads the model's predictions; it must not clip, since what is guided is clipped after it
 * @returns the sampler and the model to sample with: the model gives both branches, one after the other on the last axis
 * @throws Error for a path that clips, a scale or η that is not finite, β outside (−1, 1) and r that is not positive; from forward for a
 * call without labels, or with too few or many
 */
export function adaptiveProjected<Path extends NoisePath>(
  solver: (path: Path) => Sampler,
  path: Path,
  model: Model,
  options: AdaptiveProjectedOptions,
): { readonly sampler: Sampler; readonly model: Model } {
  expectArguments("adaptiveProjected", { solver, path, model, options });
  const { momentum = 0, clip = false, classes } = options;
  checkOptions(options);
  expectClip("adaptiveProjected", clip);
  if (path.isClipped) throw new Error("adaptiveProjected: path clips, want clip among the options instead");
  const both: Model & { readonly model: Model } = {
    model, // a field, so that its parameters are found
    forward: (x, times, conditioning = {}) =>
      tidy(() => {
        labelsOf("adaptiveProjected", x, times, conditioning);
        const branches = bothBranches("adaptiveProjected", model, x, times, conditioning, classes);
        return concat([branches.conditional, branches.unconditional], -1);
      }),
  };
  // What the solver's calls get is x̂₀ itself.
  const ofData: Path = {
    ...path,
    denoise: (data: Tensor) => data,
    isClipped: clip !== false,
    noise: undefined,
    score: undefined,
  };
  const inner = solver(ofData);
  expectKind("adaptiveProjected", "sampler", inner, "what solver makes");
  return {
    model: both,
    sampler: {
      levels: inner.levels,
      prior: inner.prior,
      step(call) {
        const kept = momentum === 0 ? [] : call.memory.slice(0, 1);
        let made: Tensor | undefined;
        const predict: SamplerCall["predict"] = (x, level, numbers) => {
          const predicted = call.predict(x, level, numbers);
          const [ofLabels, ofNone] = predicted
            .split(predicted.shape[predicted.rank - 1] / 2, -1)
            .map((prediction) => path.denoise(prediction, x, level));
          const difference = ofLabels.sub(ofNone);
          const moving = kept.length === 0 ? difference : weightedSum([difference, kept[0]], [1, momentum]);
          made ??= moving;
          return clipped(guidedData(ofLabels, moving, options), clip);
        };
        const result = inner.step({ ...call, memory: call.memory.slice(kept.length), predict });
        if (momentum === 0) return result;
        const moved = made ? [made] : kept; // a step without a call leaves it
        return { ...result, memory: [...moved, ...(result.memory ?? [])] };
      },
    },
  };
}

/** D_c + (w − 1) (Δ⊥ + η Δ∥) with Δ no longer than r. */
function guidedData(data: Tensor, difference: Tensor, options: AdaptiveProjectedOptions): Tensor {
  const { scale, parallel = 0, norm = Number.POSITIVE_INFINITY } = options;
  const along = quotient(sumPerSample(difference.mul(data)), sumPerSample(data.square()));
  const shortened = norm === Number.POSITIVE_INFINITY ? undefined : shortening(difference, norm);
  const weight = (of: Tensor | number) => (shortened ? shortened.mul(of) : of);
  const ofDifference = weight(scale - 1);
  const ofData = along.mul((scale - 1) * (parallel - 1));
  const moved = difference.mul(typeof ofDifference === "number" ? ofDifference : asColumn(data, ofDifference));
  return data.add(moved).add(data.mul(asColumn(data, shortened ? ofData.mul(shortened) : ofData)));
}

/** min(1, r / ‖Δ‖) of each sample. */
function shortening(difference: Tensor, norm: number): Tensor {
  const length = sumPerSample(difference.square()).sqrt();
  return length.less(norm).where(1, quotient(length.affine(0, norm), length));
}

/** a / b, and 0 where b is. */
function quotient(a: Tensor, b: Tensor): Tensor {
  const isZero = b.equal(0);
  return isZero.where(0, a.div(isZero.where(1, b)));
}

function checkOptions({
  scale,
  parallel = 0,
  momentum = 0,
  norm = Number.POSITIVE_INFINITY,
}: AdaptiveProjectedOptions): void {
  checkScale("adaptiveProjected", scale);
  if (!Number.isFinite(parallel)) throw new Error(`adaptiveProjected: parallel is ${parallel}, want a finite number`);
  if (!(Math.abs(momentum) < 1))
    throw new Error(`adaptiveProjected: momentum is ${momentum}, want a number in (−1, 1)`);
  if (!(norm > 0)) throw new Error(`adaptiveProjected: norm is ${norm}, want a positive number`);
}
