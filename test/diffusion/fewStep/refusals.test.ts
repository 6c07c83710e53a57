// What few-step functions refuse: by name, with the value and what was wanted, before any work.
import {
  consistencyDistillation,
  consistencyFunction,
  consistencyLoss,
  consistencyMultistep,
  continuousConsistency,
  cosine,
  discretisationSteps,
  improvedMeanFlowLoss,
  lcm,
  lcmPath,
  type Model,
  meanFlow,
  meanFlowLoss,
  progressiveLoss,
  shortcut,
  shortcutLoss,
  sigmaPath,
  trigDenoiser,
  trigFlowLoss,
} from "@pkg/diffusion";
import { cpu, randomStream, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu();
const x = tensor([0.1, 0.2, 0.3], { backend, shape: [3, 1] });
const model: Model = { forward: (at) => at.mul(0.5) };
const narrow: Model = { forward: (at) => at.sum(1) };
const rng = () => randomStream(0);
const never: Model = {
  forward: () => expect.fail("the model was called before the arguments were checked"),
};
const times = [0.5, 0.5, 0.9];
const sigmas = [2, 1, 0.5];
const of = (options: object) => options as never;

const REFUSED: readonly (readonly [said: string, call: () => unknown])[] = [
  ["meanFlow: times is Tensor(", () => meanFlow({ times: x as never })],
  ["meanFlow: times[0] is 1, want falling numbers", () => meanFlow({ times: ["1"] as never })],
  [
    "progressiveLoss: path is a schedule, want a noise path",
    () => progressiveLoss(never, never, x, rng(), { path: cosine(4), teacherPath: cosine(8) } as never),
  ],
  [
    "meanFlowLoss: ends[1] is 0.7 above times[1], 0.5, want r of at most t",
    () => meanFlowLoss(never, x, rng(), { times, ends: [0.5, 0.7, 0] }),
  ],
  [
    "improvedMeanFlowLoss: ends[2] is 1 above times[2], 0.9",
    () => improvedMeanFlowLoss(never, x, rng(), { times, ends: [0, 0, 1] }),
  ],
  [
    "meanFlowLoss: times[0] is 1.5, want a number in [0, 1]",
    () => meanFlowLoss(never, x, rng(), { times: [1.5, 1, 1], ends: times }),
  ],
  ["meanFlowLoss: ends[0] is -0.1, want", () => meanFlowLoss(never, x, rng(), { times, ends: [-0.1, 0, 0] })],
  ["meanFlowLoss: 2 ends for a batch of 3", () => meanFlowLoss(never, x, rng(), { times, ends: [0, 0] })],
  ["meanFlowLoss: times without ends, want both", () => meanFlowLoss(never, x, rng(), { times })],
  ["meanFlowLoss: share is 2, want a number in [0, 1]", () => meanFlowLoss(never, x, rng(), { share: 2 })],
  ["meanFlowLoss: power is -1, want a number from 0 on", () => meanFlowLoss(never, x, rng(), { power: -1 })],
  ["meanFlowLoss: deviation is -1", () => meanFlowLoss(never, x, rng(), { deviation: -1 })],
  ["meanFlowLoss: mean is NaN", () => meanFlowLoss(never, x, rng(), { mean: Number.NaN })],
  ["meanFlowLoss: teacher is 3, want a model", () => meanFlowLoss(never, x, rng(), of({ teacher: 3 }))],
  ["meanFlowLoss: x is [0,1]", () => meanFlowLoss(never, x.slice([0, 0]), rng())],
  ["meanFlowLoss: noise is [3] for x [3,1]", () => meanFlowLoss(never, x, rng(), { noise: x.sum(1) })],
  ["meanFlowLoss: the prediction is [3] for x [3,1]", () => meanFlowLoss(narrow, x, rng(), { share: 1 })],
  ["meanFlow: steps is 0, want a positive integer", () => meanFlow({ steps: 0 })],
  ["meanFlow: steps is 2 beside times, want one of them", () => meanFlow({ steps: 2, times: [1] })],
  ["meanFlow: times[1] is 0.6, want falling numbers in (0, 1]", () => meanFlow({ times: [0.5, 0.6] })],
  ["meanFlow: times[1] is 0, want falling", () => meanFlow({ times: [0.5, 0] })],
  ["meanFlow: no times, want at least one", () => meanFlow({ times: [] })],
  ["shortcut: steps is 3, want a power of two", () => shortcut({ steps: 3 })],
  ["shortcutLoss: finest is 100, want a power of two", () => shortcutLoss(never, x, rng(), { finest: 100 })],
  ["shortcutLoss: share is -1", () => shortcutLoss(never, x, rng(), { share: -1 })],
  [
    "shortcutLoss: lengths[1] is 0.6 and times[1] 0.5, want 0 ≤ d ≤ t ≤ 1",
    () => shortcutLoss(never, x, rng(), { times, lengths: [0.5, 0.6, 0] }),
  ],
  ["shortcutLoss: lengths[2] is 0.5 after a 0", () => shortcutLoss(never, x, rng(), { times, lengths: [0.5, 0, 0.5] })],
  ["shortcutLoss: lengths without times", () => shortcutLoss(never, x, rng(), { lengths: times })],
  ["shortcutLoss: the prediction is [3]", () => shortcutLoss(narrow, x, rng(), { share: 0 })],
  ["consistencyLoss: sigmas has 1 level, want at least two", () => consistencyLoss(never, x, rng(), { sigmas: [1] })],
  [
    "consistencyLoss: sigmas[1] is 3 after 2, want falling numbers",
    () => consistencyLoss(never, x, rng(), { sigmas: [2, 3] }),
  ],
  ["consistencyLoss: huber is -1", () => consistencyLoss(never, x, rng(), { sigmas, huber: -1 })],
  ["consistencyLoss: deviation is 0", () => consistencyLoss(never, x, rng(), { sigmas, deviation: 0 })],
  [
    "consistencyLoss: indices[0] is 2, want an integer in [0, 1]",
    () => consistencyLoss(never, x, rng(), { sigmas, indices: [2, 0, 0] }),
  ],
  ["consistencyLoss: target is 3, want a model", () => consistencyLoss(never, x, rng(), of({ sigmas, target: 3 }))],
  ["consistencyLoss: the prediction is [3]", () => consistencyLoss(narrow, x, rng(), { sigmas })],
  [
    'consistencyDistillation: solver is "rk4", want heun or euler',
    () => consistencyDistillation(never, never, x, rng(), of({ sigmas, solver: "rk4" })),
  ],
  ["consistencyFunction: sigmaMin is 0, want a positive number", () => consistencyFunction(model, { sigmaMin: 0 })],
  [
    "consistencyMultistep: sigmaMin is 1 above the path's σ 0.5",
    () => consistencyMultistep(sigmaPath(sigmas), { sigmaMin: 1 }),
  ],
  ["trigDenoiser: sigmaData is -1, want a positive number", () => trigDenoiser(model, { sigmaData: -1 })],
  ["trigFlowLoss: times[0] is 2, want a number in [0, π/2]", () => trigFlowLoss(never, x, rng(), { times: [2, 1, 1] })],
  [
    "continuousConsistency: warmup is 2, want a number in [0, 1]",
    () => continuousConsistency(never, x, rng(), { warmup: 2 }),
  ],
  [
    "continuousConsistency: normalise is 0, want a positive number or false",
    () => continuousConsistency(never, x, rng(), { normalise: 0 }),
  ],
  ["discretisationSteps: last is 5, want an integer from 10 on", () => discretisationSteps(0, 10, { last: 5 })],
  ["lcmPath: steps is 51, want an integer in [1, 50]", () => lcmPath(cosine(1000), { steps: 51 })],
  ["lcmPath: originalSteps is 50, want an integer in [1, 10]", () => lcmPath(cosine(10), { steps: 1 })],
  ["lcm: path is a noise path, want a path of a schedule's steps", () => lcm(of(sigmaPath(sigmas)))],
  [
    "lcm: timestepScaling is 0, want a positive number",
    () => lcm(lcmPath(cosine(100), { steps: 1 }), { timestepScaling: 0 }),
  ],
];

test.each(REFUSED)("%s", (said, call) => {
  let message = "";
  try {
    call();
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message.slice(0, said.length)).toBe(said);
});
