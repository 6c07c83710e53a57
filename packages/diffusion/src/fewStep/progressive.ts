// Progressive distillation: one step of the student is two of the teacher's.

import type { Conditioning } from "@pkg/nn";
import { type RandomStream, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { checkNoise, type GivenNoise } from "../forward/forward.ts";
import type { NoiseLevel } from "../forward/level.ts";
import { type Clip, clipped, type NoisePath } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import { type Prediction, readingAt } from "../model/parameterization.ts";
import { checkBatch, checkPerSample, checkPredicted, perSample } from "../objective/perSample.ts";
import { expectClip, expectPrediction } from "../optionWords.ts";

/** Whose steps become whose. */
export interface ProgressiveOptions extends Pick<Conditioning, "labels">, GivenNoise {
  /** The student's way, in N steps. */
  readonly path: Pick<NoisePath, "levels">;
  /** The teacher's way in 2 N steps, of which every other level is one of the student's. */
  readonly teacherPath: Pick<NoisePath, "levels">;
  /** What the student predicts. Default "velocity", which is finite at both ends. */
  readonly prediction?: Exclude<Prediction, "mean">;
  /** What the teacher predicts. Default "velocity". */
  readonly teacherPrediction?: Exclude<Prediction, "mean">;
  /** What keeps the teacher's x̂₀ where data can be; ε̂ is computed from the clipped one. Default false. */
  readonly clip?: Clip;
  /** Which of its N steps the student takes for each sample, 0 the noisiest, instead of drawn ones. */
  readonly indices?: readonly number[];
}

/** The levels of each sample. */
type Levels = readonly NoiseLevel[];

/**
 * E max(SNR, 1) ‖x̃ − x̂₀‖² where x̃ is the data for which one DDIM step of the student leads from z_t to where two DDIM steps of the teacher
 * do, x̃ = (z″ − (σ″ / σ) z_t) / (α″ − (σ″ / σ) α) (Salimans & Ho 2022, "Progressive Distillation for Fast Sampling of Diffusion Models",
 * algorithm 2 and eq. 9). The student then is the teacher of the next N, half as large. It is sampled by `ddim` on its path.
 * @param x0 [batch, ...]
 * @param rng draws steps, ε, and the student's dropout masks
 * @returns [], the mean over batch and elements
 * @throws Error for a teacher's path that does not have twice the student's steps, or has other levels: a teacher of another schedule; for
 * predictions that do not tell x̂₀ at a level, such as noise where there is no signal, and indices out of range; ShapeError when a
 * prediction or the noise is not of x0's shape
 * @example
 * ```ts
 * import { cosine, discretePath, gaussianOracle, oracleModel, progressiveLoss } from "@pkg/diffusion";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const [rng, backend, schedule] = [randomStream(0), cpu(), cosine(100)];
 * const data = gaussianOracle({ mean: [1, -1], variance: 0.25 });
 * const teacher = oracleModel(data, schedule, "velocity");
 * const teacherPath = discretePath(schedule, { times: [80, 60, 40, 20], prediction: "velocity" });
 * const path = discretePath(schedule, { times: [80, 40], prediction: "velocity" });
 * const x0 = data.sample(64, rng, { backend });
 * const loss = progressiveLoss(teacher, teacher, x0, rng, { path, teacherPath }); // its own long steps lead nearly there
 * console.log((await loss.item()) < 0.1); // true
 * ```
 */
export function progressiveLoss(
  student: Model,
  teacher: Model,
  x0: Tensor,
  rng: RandomStream,
  options: ProgressiveOptions,
): Tensor {
  const name = "progressiveLoss";
  expectKind(name, "model", student, "student");
  expectKind(name, "model", teacher, "teacher");
  expectArguments(name, { x0, rng, options });
  const { prediction = "velocity", teacherPrediction = "velocity", clip = false, labels, noise: given } = options;
  for (const kind of [prediction, teacherPrediction]) expectPrediction(name, kind, false);
  expectClip(name, clip);
  checkBatch(name, x0);
  if (given) checkNoise(name, given, x0);
  const levels = matchingLevels(options);
  const count = (levels.length - 1) / 2;
  if (options.indices) checkIndices(x0, options.indices, count - 1);
  const indices = options.indices ?? Array.from(rng.host.integers(0, count, [x0.shape[0]]));
  const [from, middle, to] = [0, 1, 2].map((k) => indices.map((index) => levels[2 * index + k]));
  const times = (at: Levels) => at.map(({ t }) => t);
  const noise = given ?? rng.normal(x0.shape, { backend: x0.backend });
  const z = mixed(x0, noise, from);
  const target = tidy(() => {
    const step = (x: Tensor, here: Levels, next: Levels) => {
      const predicted = teacher.forward(x, times(here), { labels });
      const data = clipped(dataOf(predicted, x, here, teacherPrediction), clip);
      const left = x.sub(
        data.mul(
          perSample(
            x,
            here.map(({ signal }) => signal),
          ),
        ),
      );
      return mixed(
        data,
        left.mul(
          perSample(
            x,
            here.map((level) => 1 / level.noise),
          ),
        ),
        next,
      );
    };
    const reached = step(step(z, from, middle), middle, to);
    const kept = from.map((level, k) => to[k].noise / level.noise);
    const scale = from.map((level, k) => 1 / (to[k].signal - kept[k] * level.signal));
    return reached
      .sub(z.mul(perSample(z, kept)))
      .mul(perSample(z, scale))
      .detach();
  });
  const predicted = student.forward(z, times(from), { labels, rng });
  const error = dataOf(predicted, z, from, prediction).sub(target);
  const roots = from.map(({ signal, noise }) => Math.max(signal / noise, 1));
  return error.mul(perSample(z, roots)).square().mean();
}

/** signal · data + noise · ε at each sample's level. */
function mixed(data: Tensor, noise: Tensor, at: Levels): Tensor {
  const column = (part: "signal" | "noise") =>
    perSample(
      data,
      at.map((level) => level[part]),
    );
  return data.mul(column("signal")).add(noise.mul(column("noise")));
}

/** x̂₀ of what was predicted at each sample's level. */
function dataOf(predicted: Tensor, x: Tensor, at: Levels, from: Exclude<Prediction, "mean">): Tensor {
  checkPredicted("progressiveLoss", predicted, x);
  const readings = at.map((level) => readingAt(level, { from, to: "data" }));
  const column = (part: "ofX" | "ofPrediction") =>
    perSample(
      x,
      readings.map((reading) => reading[part]),
    );
  return x.mul(column("ofX")).add(predicted.mul(column("ofPrediction")));
}

/** The teacher's levels. @throws Error unless every other is one of the student's */
function matchingLevels({ path, teacherPath }: ProgressiveOptions): Levels {
  for (const [called, value] of Object.entries({ path, teacherPath }))
    if (!Array.isArray(value?.levels)) expectKind("progressiveLoss", "path", value, called);
  const [steps, teachers] = [path.levels.length - 1, teacherPath.levels.length - 1];
  if (teachers !== 2 * steps)
    throw new Error(`progressiveLoss: teacherPath has ${teachers} steps for ${steps} of path, want ${2 * steps}`);
  for (const [k, { signal, noise }] of path.levels.entries()) {
    const other = teacherPath.levels[2 * k];
    if (Math.abs(signal - other.signal) + Math.abs(noise - other.noise) > 1e-6 * (signal + noise))
      throw new Error(
        `progressiveLoss: level ${k} of path has signal ${signal} and noise ${noise}, level ${2 * k} of teacherPath ${other.signal} and ${other.noise}, want a teacher of the same schedule`,
      );
  }
  return teacherPath.levels;
}

function checkIndices(x0: Tensor, indices: readonly number[], last: number): void {
  checkPerSample("progressiveLoss", x0, indices, "indices");
  const wrong = indices.findIndex((index) => !(Number.isInteger(index) && index >= 0 && index <= last));
  if (wrong !== -1)
    throw new Error(`progressiveLoss: indices[${wrong}] is ${indices[wrong]}, want an integer in [0, ${last}]`);
}
