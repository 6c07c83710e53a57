// How likely data is under a model, by the variational bound: all of its terms by step, with their errors.

import type { Conditioning } from "@pkg/nn";
import { type RandomStream, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { qSample } from "../forward/forward.ts";
import { type Estimate, estimate } from "../model/estimate.ts";
import type { Model } from "../model/model.ts";
import { readWatched } from "../model/modelOutput.ts";
import { checkBatch, sampleSize } from "../objective/perSample.ts";
import { expectClip } from "../optionWords.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { bitsPerDim, boundTerms, priorTerm, type ReverseProcess } from "./bound.ts";
import { discretisedDecoder } from "./decoder.ts";

/** The reverse process of the bound, and how often each step is noised. */
export interface NllOptions extends ReverseProcess, Pick<Conditioning, "labels"> {
  /** How often each sample is noised at each step. Default 1. */
  readonly repeats?: number;
}

/** The bound on −log p(x₀) and what it is made of. Everything but `nats` is in bits per dimension. */
export interface Nll {
  /** The bound, the sum of its parts. */
  readonly total: Estimate;
  /** The total, of a whole sample. */
  readonly nats: Estimate;
  /** L_T, how much of the data is left at the end. */
  readonly prior: Estimate;
  /** terms[t] is L_{t−1} of the papers' step t + 1; terms[0] is L_0, the decoder's. */
  readonly terms: readonly Estimate[];
  /** Of each sample. */
  readonly samples: Float64Array;
}

/**
 * A bound on the negative log-likelihood of data: L_T + Σ L_{t−1} + L_0 with one call of the model for each step and repeat.
 * For fewer steps give a respaced schedule (and `respacedModel`): a looser bound, of another model.
 * @param x0 [batch, ...]; images on 256 levels in [−1, 1], or anything with another decoder
 * @param rng draws the noise
 * @param options clip: by default what the decoder says of its data: [−1, 1] for images on levels, as in evaluation (Nichol &
 * Dhariwal's code), and none for continuous data
 * @throws Error for data that the decoder cannot take; where the model's output is not finite, with the step and the number of such
 * elements, clipped or not; and for a term that is not finite
 */
export async function nll(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  options: NllOptions = {},
): Promise<Nll> {
  expectArguments("nll", { model, schedule, x0, rng, options });
  const { repeats = 1, decoder = discretisedDecoder(), clip = decoder.clip, ...others } = options;
  if (!(Number.isInteger(repeats) && repeats >= 1))
    throw new Error(`nll: repeats is ${repeats}, want a positive integer`);
  if (clip !== undefined) expectClip("nll", clip);
  checkBatch("nll", x0);
  await decoder.check(x0);
  const batch = x0.shape[0];
  const size = sampleSize(x0);
  const bits = (nats: readonly number[]) => nats.map((value) => bitsPerDim(value, size));
  const prior = bits(checkTerms("L_T", await read(tidy(() => priorTerm(schedule, x0)))));
  const totals = Array.from({ length: repeats }, () => prior.slice());
  const terms: Estimate[] = [];
  for (let t = 0; t < schedule.steps; t++) {
    const times = new Array<number>(batch).fill(t);
    const drawn: number[] = [];
    for (const total of totals) {
      const nats = await readWatched("nll", `step ${t}`, model, (watched) => {
        const { noisy } = qSample(schedule, x0, times, rng);
        return boundTerms(watched, schedule, { x0, x: noisy, times }, { clip, decoder, ...others });
      });
      for (const [i, term] of bits(checkTerms(`the term of step ${t}`, nats)).entries()) {
        total[i] += term;
        drawn.push(term);
      }
    }
    terms.push(estimate(drawn));
  }
  const total = estimate(totals.flat());
  const nats = size * Math.LN2;
  return {
    total,
    nats: { mean: total.mean * nats, standardError: total.standardError * nats },
    prior: estimate(prior),
    terms,
    samples: Float64Array.from(prior, (_, i) => totals.reduce((sum, values) => sum + values[i], 0) / repeats),
  };
}

/** @throws Error unless all are finite */
function checkTerms(what: string, nats: readonly number[]): readonly number[] {
  const wrong = nats.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) throw new Error(`nll: ${what} is ${wrong}, want a finite number`);
  return nats;
}

async function read(x: Tensor): Promise<readonly number[]> {
  const values = await x.data();
  x.dispose();
  return [...values];
}
