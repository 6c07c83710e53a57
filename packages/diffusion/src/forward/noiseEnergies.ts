// Γ_t = E‖ε̂(x_t, t)‖² / d, which the optimal reverse variance follows from (Bao et al. 2022, eq. 9).

import type { Conditioning } from "@pkg/nn";
import type { RandomStream, Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { readWatched } from "../model/modelOutput.ts";
import { convertPrediction, type Prediction } from "../model/parameterization.ts";
import { readData } from "../readData.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { qSample } from "./forward.ts";

/**
 * Γ of every step, estimated from data: one call of the model a step. Average the results of several batches for more.
 * @param x0 [batch, ...]
 * @param rng draws the noise
 * @returns T numbers; 1 − Γ is the share of the noise that the model cannot tell from data
 * @throws Error for data that are not finite, and where the model's output, or the estimate, is not finite, naming the step
 */
export async function noiseEnergies(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  options: Pick<Conditioning, "labels"> & { readonly prediction?: Prediction } = {},
): Promise<Float64Array> {
  expectArguments("noiseEnergies", { model, schedule, x0, rng, options });
  const { prediction = "noise", labels } = options;
  await readData("noiseEnergies", x0);
  const energies = new Float64Array(schedule.steps);
  for (let t = 0; t < schedule.steps; t++) {
    const [energy] = await readWatched("noiseEnergies", `step ${t}`, model, (watched) => {
      const times = new Array<number>(x0.shape[0]).fill(t);
      const { noisy } = qSample(schedule, x0, times, rng);
      const predicted = watched.forward(noisy, times, { labels });
      const noise = convertPrediction(schedule, predicted, { from: prediction, to: "noise", x: noisy, times });
      return noise.square().mean().reshape([1]);
    });
    if (!Number.isFinite(energy))
      throw new Error(`noiseEnergies: E‖ε̂‖² is ${energy} at step ${t}, want a finite number`);
    energies[t] = energy;
  }
  return energies;
}
