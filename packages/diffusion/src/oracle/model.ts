// An oracle as the model that no training can better.

import type { Times } from "@pkg/nn";
import { Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { levelAt } from "../forward/level.ts";
import type { Model } from "../model/model.ts";
import { type Prediction, predictionTarget, velocityScale } from "../model/parameterization.ts";
import { perSample } from "../objective/perSample.ts";
import { expectPrediction } from "../optionWords.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { atSteps, checkSteps } from "../schedule/tables.ts";
import type { Noising, NoisingTensors, Oracle } from "./oracle.ts";

/**
 * Predicts the mean of what is to be predicted, given x_t: the minimum of every squared error. All kinds are sums of x₀ and ε, so their
 * means are the same sums of E[x₀ | x_t] and E[ε | x_t]. The score is ∇ log q(x_t). There are no parameters, so `sample` wants the backend.
 * @param levels what the model's times are: steps of a schedule, or what tells the level of a time, (sigma) => ({ signal: 1, noise: sigma })
 * @param prediction "noise" by default; "mean" wants a schedule
 * @throws Error for the mean without a schedule; from forward for times of a list that are no steps of it, and for a tensor of times where
 * levels is a function
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
  const levelsOf = (x: Tensor, times: Times): readonly Noising[] | NoisingTensors => {
    if (!(times instanceof Tensor))
      return times.map((t) => (typeof levels === "function" ? levels(t) : levelAt(levels, t)));
    if (typeof levels === "function")
      throw new Error(`oracleModel: times is ${times} and levels a function, want a list, or a schedule as levels`);
    checkSteps("oracleModel", levels, times, x);
    const scale = (key: "signal" | "noise") => atSteps(levels, x, times, { key, at: (t) => levelAt(levels, t)[key] });
    return { signal: scale("signal"), noise: scale("noise") };
  };
  const forward = (x: Tensor, times: Times): Tensor => {
    const here = levelsOf(x, times);
    if (prediction === "noise") return oracle.predictNoise(x, here);
    if (prediction === "data") return oracle.denoise(x, here);
    if (prediction === "score") return oracle.score(x, here);
    const [data, noise] = [oracle.denoise(x, here), oracle.predictNoise(x, here)];
    if (typeof levels !== "function") return predictionTarget(levels, prediction, { data, noise, times });
    if (!Array.isArray(here)) throw new Error("oracleModel: velocity of a tensor of times wants a schedule");
    const column = (part: keyof Noising) =>
      perSample(
        x,
        here.map((level: Noising) => level[part] / velocityScale(level)),
      );
    return noise.mul(column("signal")).sub(data.mul(column("noise")));
  };
  return { forward: (x, times) => tidy(() => forward(x, times)) };
}
