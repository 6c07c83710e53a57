// What the public functions refuse, and the values of singular points: an error by name and value, or a number, never a NaN.
import {
  bitsPerDim,
  classifierFree,
  convertAtLevel,
  convertPrediction,
  convertWeight,
  cosine,
  ddim,
  dequantisedBits,
  discretePath,
  dividedBySigma,
  drawProbes,
  edmLoss,
  finalSample,
  frechetDistance,
  linear,
  linearGamma,
  lms,
  lossAwareTimes,
  type Model,
  type NoiseSource,
  nll,
  noiseEnergies,
  odeLikelihood,
  p2Weight,
  pndm,
  posterior,
  posteriorMeanFromNoise,
  preconditioned,
  predictionLoss,
  predictionTarget,
  predictorCorrector,
  qSample,
  quadratic,
  reverseDiffusion,
  ring,
  type Sampler,
  type SamplerState,
  sample,
  sampleFlow,
  sdePath,
  sigmaPath,
  sigmoid,
  slerp,
  snrAt,
  spacedTimes,
  subVpSde,
  vdmLoss,
  vpSde,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { type Backend, cpu, liveTensors, ones, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";
import { heldTensors } from "../setup/heldTensors.ts";

const exact = cpu({ precision: "float64" });
const schedule = linear(10);
const silent = zeroTerminalSnr(schedule);
const model: Model = { forward: (x) => x.mul(0.5) };
/** One column of what it should predict, which would broadcast. */
const narrow: Model = { forward: (x) => x.slice(null, [0, 1]) };
const x = tensor(
  [
    [1, 2],
    [3, 4],
    [5, 6],
  ],
  { backend: exact },
);
const column = x.slice(null, [0, 1]);
const times = [1, 2, 3];
const rng = () => randomStream(1);
/** Noise that is 1 everywhere, however often it is drawn. */
const ofOnes: NoiseSource = { normal: (shape, options) => ones(shape, options) };
/** Predicts NaN from its call `first` on, counted from 0. */
function failing(first: number): Model {
  let calls = 0;
  return { forward: (y) => y.mul(calls++ < first ? 0.5 : Number.NaN) };
}
/** A run of a multistep method that goes on from a state. */
const resumed = (from: Pick<SamplerState, "x"> & Partial<SamplerState>, backend: Backend = exact) =>
  finalSample(sample(lms(sigmaPath([3, 2, 1])), model, [3, 2], rng(), { from, backend }));
/** What only a program without types could say. */
const word = "nonsense" as never;

test.each<[string, () => unknown]>([
  ["linear: start is 0", () => linear(10, { start: 0 })],
  ["linear: end is NaN", () => linear(10, { end: Number.NaN })],
  ["quadratic: start is -1", () => quadratic(10, { start: -1 })],
  ["cosine: offset is -1", () => cosine(10, { offset: -1 })],
  ["cosine: maxBeta is 2", () => cosine(10, { maxBeta: 2 })],
  ["sigmoid: temperature is 0", () => sigmoid(10, { temperature: 0 })],
  ["sigmoid: from 1 to 1", () => sigmoid(10, { start: 1, end: 1 })],
  ["zeroTerminalSnr: √ᾱ from 1 to 1", () => zeroTerminalSnr({ ...schedule, alphaBars: new Float64Array(10).fill(1) })],
  ["spacedTimes: a schedule of 2.5 steps", () => spacedTimes(2.5, 2)],
  ['spacedTimes: spacing is "nonsense"', () => ddim(discretePath(schedule, { spacing: word }))],
  ['sdePath: spacing is "nonsense"', () => sdePath(vpSde(), { spacing: word })],
  ["qSample: times[0] is -1, want an integer in [0, 9]", () => qSample(schedule, x, [-1, 0, 1], rng())],
  ["posterior: t is −1", () => posterior(schedule, -1)],
  ["discretePath: times is 3, want a list of numbers", () => discretePath(schedule, { times: 3 as never })],
  ['discretePath: sigmas is "nonsense", want a list of numbers', () => discretePath(schedule, { sigmas: word })],
  [
    "predictionLoss: report is 3, want a function",
    () => predictionLoss(model, schedule, x, rng(), { report: 3 as never }),
  ],
  ["discretePath: times has −1", () => discretePath(schedule, { times: [3, -1] })],
  ["convertPrediction: 1 times", () => convertPrediction(schedule, x, { from: "noise", to: "data", x, times: [1] })],
  ["[3,1] for x [3,2]", () => convertPrediction(schedule, column, { from: "noise", to: "data", x, times })],
  ["[3,1] for x [3,2]", () => convertAtLevel({ t: 1, signal: 1, noise: 1 }, column, { from: "data", to: "data", x })],
  [
    'convertPrediction: prediction is "nonsense", want noise, data, velocity, flow, score or mean',
    () => convertPrediction(schedule, x, { from: word, to: "data", x, times }),
  ],
  ["a score at t = -1", () => convertPrediction(schedule, x, { from: "score", to: "data", x, times: [-1, 1, 1] })],
  ["there is no noise", () => convertPrediction(schedule, x, { from: "data", to: "noise", x, times: [-1, 1, 1] })],
  ["predictionTarget: 1 times", () => predictionTarget(schedule, "velocity", { data: x, noise: x, times: [1] })],
  ["posteriorMeanFromNoise: the prediction is [3,1]", () => posteriorMeanFromNoise(schedule, x, column, 3)],
  ["loss: the prediction is [3,1]", () => predictionLoss(narrow, schedule, x, rng())],
  ["is -1, want a finite number", () => predictionLoss(model, schedule, x, rng(), { weight: () => -1 })],
  ["loss: x is [0,2]", () => predictionLoss(model, schedule, x.slice([0, 0]), rng())],
  ["nll: x is [0,2]", () => nll(model, schedule, x.slice([0, 0]), rng())],
  ["edmLoss: the prediction is [3,1]", () => edmLoss(narrow, x, rng())],
  ["edmLoss: mean is NaN", () => edmLoss(model, x, rng(), { mean: Number.NaN })],
  ["edmLoss: deviation is Infinity", () => edmLoss(model, x, rng(), { deviation: Number.POSITIVE_INFINITY })],
  ["vdmLoss: the prediction is [3,1]", () => vdmLoss(narrow, linearGamma(), x, rng())],
  ["convertPrediction: the prediction is [3,1]", () => noiseEnergies(narrow, schedule, x, rng())],
  ["preconditioned: 1 σ", () => preconditioned(model).forward(x, [1])],
  ["preconditioned: the prediction is [3,1]", () => preconditioned(narrow).forward(x, [1, 1, 1])],
  ["classifierFree: 1 times", () => classifierFree(model, { scale: 2 }).forward(x, [1], { labels: [1, 2, 3] })],
  ["dividedBySigma: σ is 0", () => dividedBySigma((y) => y)(x, [0, 1, 1])],
  ["p2Weight: k is -1", () => p2Weight({ k: -1 })],
  ["bitsPerDim: 0 dimensions", () => bitsPerDim(1, 0)],
  ["dequantisedBits: levels is 0", () => dequantisedBits(1, 3, { levels: 0 })],
  ["lossAwareTimes: a state with the loss NaN", () => lossAwareTimes(1).restore({ losses: [[Number.NaN]] })],
  ["slerp: sample 0 has the length NaN", () => slerp(x, x.mul(Number.NaN), 0.5)],
  [
    "frechetDistance: a mean has NaN",
    () => frechetDistance({ mean: [Number.NaN], covariance: [[1]] }, { mean: [1], covariance: [[1]] }),
  ],
  ["ring: deviation is 1e-9", () => ring({ deviation: 1e-9 })],
  ['drawProbes: distribution is "nonsense"', () => drawProbes(x, rng(), { distribution: word })],
  ["sample: the shape is []", () => finalSample(sample(lms(sigmaPath([1])), model, [], rng(), { backend: exact }))],
  ["from.x is on cpu: float64, and the run on cpu: float32", () => resumed({ x }, cpu())],
  [
    "from.memory[0] is on cpu: float32, and the run on cpu: float64",
    () => resumed({ x, memory: [ones([3, 2], { backend: cpu() })] }),
  ],
  [
    "from.memory[1] has shape [2,2], want 3 samples",
    () => resumed({ x, memory: [x, ones([2, 2], { backend: exact })] }),
  ],
  ["weightedSum: [3, 2] and [3, 2] and [3, 1]", () => resumed({ x, step: 1, memory: [column] })],
  [
    "convertAtLevel: the prediction is [3,1]",
    () => finalSample(sample(lms(sigmaPath([1])), narrow, [3, 2], rng(), { from: { x } })),
  ],
])("refused: %s (%#)", async (message, call) => {
  await expect(async () => call()).rejects.toThrow(message);
});

test("at ᾱ = 0 noise and score tell each other, and a weight of 0 stays 0", async () => {
  const convert = (from: "noise" | "score", to: "noise" | "score") =>
    convertPrediction(silent, x, { from, to, x: x.mul(7), times: [9, 9, 9] }).data();
  const negated = await x.neg().data();
  expect(await convert("noise", "score")).toEqual(negated);
  expect(await convert("score", "noise")).toEqual(negated);
  expect(convertWeight(snrAt, { from: "data", to: "noise" })(silent, 9)).toBe(0);
});

test("the time of an infinite σ is the end of the diffusion", () => {
  expect([vpSde(), subVpSde()].map((sde) => sde.time(Number.POSITIVE_INFINITY))).toEqual([1, 1]);
});

test.each<[string, Sampler]>([
  ["lms", lms(sigmaPath([3, 2, 1]))],
  ["pndm", pndm(sigmaPath([3, 2, 1]))],
])("finalSample leaves nothing but the samples alive: %s", async (_, sampler) => {
  const before = heldTensors();
  const samples = await finalSample(sample(sampler, model, [3, 2], rng(), { backend: exact }));
  expect(liveTensors()).toBe(before + 1);
  samples.dispose();
});

test.each<["batch" | "sample"]>([["batch"], ["sample"]])(
  "a corrector leaves alone what has no score, as from a model whose last layer is 0: norms of the %s",
  async (norms) => {
    const path = sdePath(vpSde(), { steps: 3 });
    const predictor = reverseDiffusion(path);
    const zero: Model = { forward: (y) => y.mul(0) };
    const run = (sampler: Sampler) => finalSample(sample(sampler, zero, [3, 2], ofOnes, { from: { x } }));
    const corrected = await run(predictorCorrector(predictor, path, { norms }));
    expect(await corrected.data()).toEqual(await (await run(predictor)).data());
  },
);

test.each<[string, () => AsyncIterable<{ readonly x: Tensor }>]>([
  ["a prediction of another shape", () => sample(lms(sigmaPath([3, 2, 1])), narrow, [3, 2], rng(), { backend: exact })],
  ["NaN", () => sample(pndm(sigmaPath([3, 2, 1])), failing(1), [3, 2], rng(), { backend: exact })],
  ["NaN in the last step", () => sample(lms(sigmaPath([3, 2, 1])), failing(2), [3, 2], rng(), { backend: exact })],
  ["NaN on the flow", () => sampleFlow(sigmaPath([3, 2, 1]), failing(3), [3, 2], rng(), { backend: exact })],
  ["another shape on the flow", () => sampleFlow(sigmaPath([3, 2]), narrow, [3, 2], rng(), { backend: exact })],
])("a run that fails leaves nothing alive: %s", async (_, run) => {
  const before = [heldTensors(), exact.memory().buffers];
  await expect(finalSample(run())).rejects.toThrow();
  expect([liveTensors(), exact.memory().buffers]).toEqual(before);
});

test("a likelihood that fails leaves nothing alive, nor does a flow that is left", async () => {
  const path = sigmaPath([3, 2, 1]);
  const before = heldTensors();
  await expect(odeLikelihood(path, failing(9), x)).rejects.toThrow("NaN or infinite");
  await expect(odeLikelihood(path, narrow, x)).rejects.toThrow("[3,1]");
  for await (const step of sampleFlow(path, model, [3, 2], rng(), { backend: exact })) {
    expect(step.level).not.toBe(path.levels[2]);
    for (const tensor of [step.x, step.denoised]) tensor.dispose();
    break;
  }
  expect(liveTensors()).toBe(before);
});
