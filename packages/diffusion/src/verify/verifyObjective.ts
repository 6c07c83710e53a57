// The constants between score-matching objectives, measured on an oracle.

import { addNoise, type Backend, full, ones, type RandomStream, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { type Estimate, estimate } from "../model/estimate.ts";
import type { Score } from "../model/score.ts";
import { sampleSize, sumPerSample } from "../objective/perSample.ts";
import { explicitScoreMatching } from "../objective/scoreMatching/explicit.ts";
import { checkSigma } from "../objective/scoreMatching/noiseLevels.ts";
import type { Oracle } from "../oracle/oracle.ts";

/** An objective J beside explicit score matching, for one score. */
export interface ObjectiveReport {
  /** J itself. */
  readonly objective: Estimate;
  /** ½ E‖s − ∇log q‖² at the same points. */
  readonly explicit: Estimate;
  /** J − explicit: as theory has it the same for every score. */
  readonly gap: Estimate;
  /** What theory says that it is, of the oracle alone: −½ E‖∇log p‖², or with σ ½ (d / σ² − E‖∇log q_σ‖²). */
  readonly constant: Estimate;
  /** gap − constant batch by batch: 0 within a few of its standard errors. */
  readonly excess: Estimate;
}

/** Where an objective is measured, on how many samples, and at which noise. */
export interface VerifyOptions {
  /** Where to compute. */
  readonly backend: Backend;
  /** For denoising objectives: the σ of the noise. Without it the objective is of the data as they are. */
  readonly sigma?: number;
  /** How many independent batches, at least two. Default 32. */
  readonly batches?: number;
  /** Samples a batch. Default 512. */
  readonly batch?: number;
}

/**
 * Measures by how much an objective differs from explicit score matching, and by how much it should:
 *
 *     implicit, sliced:     J = ½ E‖s − ∇log p‖² − ½ E‖∇log p‖²                      (Hyvärinen 2005, theorem 1)
 *     denoising at σ:       J = ½ E‖s − ∇log q_σ‖² + ½ (d / σ² − E‖∇log q_σ‖²)        (Vincent 2011)
 *
 * @param objective J of a score and data; the stream is the one that the noised points are drawn from, so that a denoising objective
 * sees the same points as explicit matching does, and differences have small errors
 * @param rng is split into a stream a batch for data and one for noise; it takes no draw itself
 * @throws Error for a σ that is not positive, fewer than two batches, or a batch that is not finite, naming it
 */
export async function verifyObjective(
  objective: (score: Score, x: Tensor, rng: RandomStream) => Tensor,
  oracle: Oracle,
  score: Score,
  rng: RandomStream,
  options: VerifyOptions,
): Promise<ObjectiveReport> {
  expectArguments("verifyObjective", { objective, oracle, score, rng, options });
  const { backend, sigma, batches = 32, batch = 512 } = options;
  if (sigma !== undefined) checkSigma("verifyObjective", sigma);
  if (!(Number.isInteger(batches) && batches >= 2))
    throw new Error(`verifyObjective: ${batches} batches, want two or more, whose spread is the error`);
  if (!(Number.isInteger(batch) && batch >= 1))
    throw new Error(`verifyObjective: a batch of ${batch}, want a positive integer`);
  const trueScore: Score = (x) => oracle.score(x, { signal: 1, noise: sigma ?? 0 });
  const rows: (readonly [objective: number, explicit: number, constant: number])[] = [];
  for (let k = 0; k < batches; k++) {
    const terms = tidy(() => {
      const x = oracle.sample(batch, rng.split(`data ${k}`), { backend });
      const noise = () => rng.split(`noise ${k}`); // the same draws each time
      const points = sigma === undefined ? x : noised(x, sigma, noise());
      const energy = sumPerSample(trueScore(points).square()).mean().mul(-0.5);
      const shift = sigma === undefined ? 0 : sampleSize(x) / (2 * sigma ** 2);
      return [objective(score, x, noise()), explicitScoreMatching(score, trueScore, points), energy.add(shift)];
    });
    const [value, explicit, constant] = await Promise.all(terms.map((term) => term.item()));
    for (const term of terms) term.dispose();
    if (!Number.isFinite(value + explicit + constant))
      throw new Error(
        `verifyObjective: batch ${k} gives ${value}, explicitly ${explicit}, constant ${constant}, want finite numbers`,
      );
    rows.push([value, explicit, constant]);
  }
  return {
    objective: estimate(rows.map(([value]) => value)),
    explicit: estimate(rows.map(([, explicit]) => explicit)),
    gap: estimate(rows.map(([value, explicit]) => value - explicit)),
    constant: estimate(rows.map(([, , constant]) => constant)),
    excess: estimate(rows.map(([value, explicit, constant]) => value - explicit - constant)),
  };
}

function noised(x: Tensor, sigma: number, rng: RandomStream): Tensor {
  const [batch] = x.shape;
  const { backend } = x;
  return addNoise(x, ones([batch], { backend }), full([batch], sigma, { backend }), rng).noisy;
}
