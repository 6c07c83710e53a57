// An oracle as the model that no training can better.

import { type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { levelAt } from "../forward/level.ts";
import type { Model } from "../model/model.ts";
import { type Prediction, predictionTarget, velocityScale } from "../model/parameterization.ts";
import { perSample } from "../objective/perSample.ts";
import { expectPrediction } from "../optionWords.ts";
import type { Schedule } from "../schedule/schedule.ts";
import type { Noising, Oracle } from "./oracle.ts";

/**
 * Predicts the mean of what is to be predicted, given x_t: the minimum of every squared error. All kinds are sums of x₀ and ε, so their
 * means are the same sums of E[x₀ | x_t] and E[ε | x_t]. The score is ∇ log q(x_t). There are no parameters, so `sample` wants the backend.
 * @param levels what the model's times are: steps of a schedule, or what tells the level of a time, (sigma) => ({ signal: 1, noise: sigma })
 * @param prediction "noise" by default; "mean" wants a schedule
 * @throws Error for the mean without a schedule; from forward for times that are no steps of it
 */
export function oracleModel(
  oracle: Oracle,
  levels: Schedule | ((t: number) => Noising),
  prediction: Prediction = "noise",
): Model {
  expectArguments("oracleModel", { oracle, levels });
  expectPrediction("oracleModel", prediction);
  if (prediction === "mean" && typeof levels === "function")
    throw new Error("oracleModel: levels is a function, want a schedule, which predictions of the mean need");
  const forward = (x: Tensor, times: readonly number[]): Tensor => {
    const here = times.map((t) => (typeof levels === "function" ? levels(t) : levelAt(levels, t)));
    if (prediction === "noise") return oracle.predictNoise(x, here);
    if (prediction === "data") return oracle.denoise(x, here);
    if (prediction === "score") return oracle.score(x, here);
    const [data, noise] = [oracle.denoise(x, here), oracle.predictNoise(x, here)];
    if (typeof levels !== "function") return predictionTarget(levels, prediction, { data, noise, times });
    const column = (of: (level: Noising) => number) =>
      perSample(x, () => here.map((level) => of(level) / velocityScale(level)));
    return noise.mul(column(({ signal }) => signal)).sub(data.mul(column((level) => level.noise)));
  };
  return { forward: (x, times) => tidy(() => forward(x, times)) };
}
