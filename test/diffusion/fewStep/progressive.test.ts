// Progressive distillation against the two DDIM steps of an exact teacher.
import {
  cosine,
  ddim,
  discretePath,
  finalSample,
  gaussianOracle,
  type Model,
  mixtureOracle,
  oracleModel,
  type Prediction,
  progressiveLoss,
  sample,
} from "@pkg/diffusion";
import { cpu, grad, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";
import { listOf } from "../../setup/listOf.ts";
import { column } from "./gaussianFlows.ts";

const backend = cpu({ precision: "float64" });
const schedule = cosine(100);
const [MEAN, VARIANCE] = [0.7, 0.36];
const data = gaussianOracle({ mean: [MEAN, MEAN], variance: VARIANCE });
const teacherPath = discretePath(schedule, { times: [90, 60, 45, 20], prediction: "velocity" });
const path = discretePath(schedule, { times: [90, 45], prediction: "velocity" });

/** How far two DDIM steps of the exact denoiser take a deviation from the mean, on a Gaussian: a product, as each step is linear. */
function ofTwoSteps(first: number): number {
  const levels = teacherPath.levels.slice(first, first + 3);
  const factor = (k: number) => {
    const [{ signal, noise }, next] = [levels[k], levels[k + 1]];
    const gain = (signal * VARIANCE) / (signal ** 2 * VARIANCE + noise ** 2); // x̂₀ − m of x − signal · m
    return next.signal * gain + (next.noise * (1 - signal * gain)) / noise;
  };
  return factor(0) * factor(1);
}

/** The student whose one step is those two: x̂₀ = m + gain (x − signal m), as a velocity. */
const exactStudent: Model = {
  forward(x, times) {
    const rows = listOf(times).map((t) => {
      const first = teacherPath.levels.findIndex((level) => level.t === t);
      const [{ signal, noise }, to] = [teacherPath.levels[first], teacherPath.levels[first + 2]];
      const ratio = to.noise / noise;
      return { signal, noise, gain: (ofTwoSteps(first) - ratio) / (to.signal - ratio * signal) };
    });
    const of = (key: "signal" | "noise" | "gain") =>
      column(
        x,
        rows.map((row) => row[key]),
      );
    const found = x.sub(of("signal").mul(MEAN)).mul(of("gain")).add(MEAN);
    return x.mul(of("signal")).sub(found).div(of("noise")); // v = (signal x − x₀) / noise
  },
};
const teacher = oracleModel(data, schedule, "velocity");
const x0 = (n: number) => data.sample(n, randomStream(1), { backend });

test("the loss is 0 at the student whose step is two of the exact teacher's, and so is its gradient", async () => {
  const weight = tensor([0, 0], { backend });
  const student: Model = { forward: (x, t) => exactStudent.forward(x, t).add(weight.mul(x)) };
  const loss = () => progressiveLoss(student, teacher, x0(100), randomStream(2), { path, teacherPath });
  expect(await loss().item()).toBeLessThan(1e-25);
  const [gradient] = grad(loss, [weight]);
  for (const part of await gradient.data()) expect(Math.abs(part)).toBeLessThan(1e-12);
  // The teacher itself, in one step, leads elsewhere.
  expect(
    await progressiveLoss(teacher, teacher, x0(100), randomStream(2), { path, teacherPath }).item(),
  ).toBeGreaterThan(1e-4);
});

test("that student's DDIM steps are every other of the teacher's", async () => {
  const from = { x: randomStream(3).normal([20, 2], { backend }) };
  const draw = async (model: Model, on: typeof path) =>
    (await finalSample(sample(ddim(on), model, [20, 2], randomStream(0), { from }))).data();
  const [student, slow] = [await draw(exactStudent, path), await draw(teacher, teacherPath)];
  for (const [k, value] of slow.entries()) expect(student[k]).toBeCloseTo(value, 10);
});

test.each<[Exclude<Prediction, "mean">, Exclude<Prediction, "mean">]>([
  ["noise", "data"],
  ["data", "score"],
  ["velocity", "noise"],
])("is the same whether the teacher predicts %s and the student %s", async (ofTeacher, ofStudent) => {
  const student = oracleModel(data, schedule, ofStudent);
  const options = { path, teacherPath, prediction: ofStudent, teacherPrediction: ofTeacher } as const;
  const value = await progressiveLoss(
    student,
    oracleModel(data, schedule, ofTeacher),
    x0(50),
    randomStream(2),
    options,
  ).item();
  const known = await progressiveLoss(teacher, teacher, x0(50), randomStream(2), { path, teacherPath }).item();
  expect(value / known).toBeCloseTo(1, 8);
});

test("a batch's samples are at steps of their own, and the weight is the larger of the data's and the noise's", async () => {
  const mixture = mixtureOracle({ means: [[1], [-1]], variances: [0.1, 0.2] });
  const of = oracleModel(mixture, schedule, "velocity");
  const [points, noise] = [
    mixture.sample(4, randomStream(1), { backend }),
    randomStream(2).normal([4, 1], { backend }),
  ];
  const options = { path, teacherPath };
  const indices = [0, 1, 1, 0];
  const together = await progressiveLoss(of, of, points, randomStream(0), { ...options, noise, indices }).item();
  const alone = await Promise.all(
    indices.map((index, k) => {
      const row = (x: Tensor) => x.slice([k, k + 1]);
      return progressiveLoss(of, of, row(points), randomStream(0), {
        ...options,
        noise: row(noise),
        indices: [index],
      }).item();
    }),
  );
  expect(together).toBeCloseTo(alone.reduce((a, b) => a + b) / 4, 12);
  // A student off by a constant in x̂₀ of the exact one's: max(SNR, 1) times its square.
  for (const [index, step] of path.levels.slice(0, 2).entries()) {
    const off = {
      forward: (x: Tensor, t: readonly number[]) => exactStudent.forward(x, t).sub(0.01 / step.noise),
    } as Model;
    const value = await progressiveLoss(off, teacher, x0(3), randomStream(0), {
      ...options,
      indices: [index, index, index],
    }).item();
    expect(value).toBeCloseTo(1e-4 * Math.max((step.signal / step.noise) ** 2, 1), 12);
  }
});

test("the teacher's x̂₀ is clipped where asked, and the noise then is what is left of x", async () => {
  const far: Model = { forward: (x) => x.mul(0).add(9) };
  const options = {
    path: { levels: [path.levels[1], path.levels[2]] },
    teacherPath: { levels: teacherPath.levels.slice(2) },
  };
  const target = async (clip: boolean) => {
    // Of a student that predicts 0 the loss is the weight times x̃².
    const student: Model = { forward: (x) => x.mul(0) };
    const all = { ...options, clip, prediction: "data", teacherPrediction: "data" } as const;
    return progressiveLoss(student, far, x0(1), randomStream(0), all).item();
  };
  const { signal, noise } = path.levels[1];
  const weight = Math.max((signal / noise) ** 2, 1);
  expect(await target(true)).toBeCloseTo(weight, 10);
  expect(await target(false)).toBeCloseTo(81 * weight, 8);
});

test("a teacher of another schedule, an odd number of its steps and indices out of range are refused by name", () => {
  const call = (options: object) => () =>
    progressiveLoss(teacher, teacher, x0(2), randomStream(0), { path, teacherPath, ...options });
  expect(call({ teacherPath: discretePath(schedule, { times: [90, 60, 45], prediction: "velocity" }) })).toThrow(
    "progressiveLoss: teacherPath has 3 steps for 2 of path, want 4",
  );
  expect(call({ teacherPath: discretePath(cosine(101), { times: [90, 60, 45, 20], prediction: "velocity" }) })).toThrow(
    /^progressiveLoss: level 0 of path has signal .*, want a teacher of the same schedule$/,
  );
  expect(call({ indices: [0, 2] })).toThrow("progressiveLoss: indices[1] is 2, want an integer in [0, 1]");
  expect(call({ indices: [0] })).toThrow("progressiveLoss: 1 indices for a batch of 2, want one per sample");
  expect(call({ path: { levels: 3 } })).toThrow("progressiveLoss: path is");
});
