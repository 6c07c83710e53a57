// An oracle as the model that no training can better.

import { checkTimes, type Times } from "@pkg/nn";
import { Tensor, tidy } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import type { Interpolant } from "../flow/interpolant.ts";
import { levelAt, type NoiseLevel } from "../forward/level.ts";
import type { Model } from "../model/model.ts";
import { levelMix, type Mix, type Prediction, predictionTarget, velocityScale } from "../model/parameterization.ts";
import { asColumn, perSample } from "../objective/perSample.ts";
import { expectPrediction } from "../optionWords.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { atSteps, checkSteps } from "../schedule/tables.ts";
import type { Noising, Noisings, Oracle } from "./oracle.ts";

/** What the times of an oracle's model are: steps of a schedule, times of an interpolant, or what tells the level of a time. */
export type TimedLevels = Schedule | Interpolant | ((t: number) => Noising & Pick<NoiseLevel, "rates">);

/**
 * Predicts the mean of what is to be predicted, given x_t: the minimum of every squared error. All kinds are sums of x₀ and ε, so their
 * means are the same sums of E[x₀ | x_t] and E[ε | x_t]. The score is ∇ log q(x_t). There are no parameters, so `sample` wants the backend.
 * Of an interpolant it can be differentiated by a tensor of times.
 * @param levels what the model's times are: steps of a schedule, times of an interpolant, or what tells the level of a time,
 * (sigma) => ({ signal: 1, noise: sigma })
 * @param prediction "noise" by default; "mean" wants a schedule
 * @throws Error for the mean without a schedule; from forward for times of a list that are no steps of it, and for a tensor of times where
 * levels is a function
 */
export function oracleModel(oracle: Oracle, levels: TimedLevels, prediction: Prediction = "noise"): Model {
  expectArguments("oracleModel", { oracle });
  expectKind("oracleModel", "timedLevels", levels, "levels");
  expectPrediction("oracleModel", prediction);
  const levelOf = typeof levels === "function" ? levels : "level" in levels ? levels.level : undefined;
  if (prediction === "mean" && levelOf)
    throw new Error(
      `oracleModel: levels is ${typeof levels === "function" ? "a function" : "an interpolant"}, want a schedule, which predictions of the mean need`,
    );
  const forward = (x: Tensor, times: Times): Tensor => {
    if (!levelOf) return ofSchedule(oracle, levels as Schedule, prediction, x, times); // which is what is left
    if (times instanceof Tensor) return ofTensors(oracle, levels as Interpolant, prediction, x, times);
    const here = times.map((t) => levelOf(t));
    const mean = meanOf(oracle, prediction, x, here);
    if (mean) return mean;
    const column = (of: (level: (typeof here)[0]) => number) => perSample(x, here.map(of));
    const [data, noise] = [oracle.denoise(x, here), oracle.predictNoise(x, here)];
    if (prediction === "velocity") {
      const part = (key: keyof Noising) => column((level) => level[key] / velocityScale(level));
      return noise.mul(part("signal")).sub(data.mul(part("noise")));
    }
    const part = (key: keyof Mix) => column((level) => levelMix({ t: Number.NaN, ...level }, "flow")[key]);
    return noise.mul(part("noise")).add(data.mul(part("data")));
  };
  return { forward: (x, times) => tidy(() => forward(x, times)) };
}

/** What an oracle tells itself; undefined for sums of x₀ and ε. */
function meanOf(oracle: Oracle, prediction: Prediction, x: Tensor, here: Noisings): Tensor | undefined {
  if (prediction === "noise") return oracle.predictNoise(x, here);
  if (prediction === "data") return oracle.denoise(x, here);
  return prediction === "score" ? oracle.score(x, here) : undefined;
}

function ofSchedule(oracle: Oracle, schedule: Schedule, prediction: Prediction, x: Tensor, times: Times): Tensor {
  if (times instanceof Tensor) checkSteps("oracleModel", schedule, times, x);
  const scale = (key: "signal" | "noise") => atSteps(schedule, x, times, { key, at: (t) => levelAt(schedule, t)[key] });
  const here =
    times instanceof Tensor
      ? { signal: scale("signal"), noise: scale("noise") }
      : times.map((t) => levelAt(schedule, t));
  const mean = meanOf(oracle, prediction, x, here);
  if (mean) return mean;
  const [data, noise] = [oracle.denoise(x, here), oracle.predictNoise(x, here)];
  return predictionTarget(schedule, prediction, { data, noise, times });
}

function ofTensors(
  oracle: Oracle,
  levels: Exclude<TimedLevels, Schedule>,
  prediction: Prediction,
  x: Tensor,
  times: Tensor,
): Tensor {
  if (typeof levels === "function")
    throw new Error(`oracleModel: times is ${times} and levels a function, want a list, or a schedule as levels`);
  if (!levels.tensors)
    throw new Error(`oracleModel: times is ${times} and levels an interpolant without tensors, want a list`);
  checkTimes("oracleModel", times, x, { dtypes: ["float32"] });
  const { rates, ...here } = levels.tensors(times);
  const mean = meanOf(oracle, prediction, x, here);
  if (mean) return mean;
  const [data, noise] = [oracle.denoise(x, here), oracle.predictNoise(x, here)];
  const size = here.signal.square().add(here.noise.square()).sqrt();
  const mix =
    prediction === "flow"
      ? { data: rates.signal, noise: rates.noise }
      : { data: here.noise.div(size).neg(), noise: here.signal.div(size) };
  return data.mul(asColumn(x, mix.data)).add(noise.mul(asColumn(x, mix.noise)));
}
