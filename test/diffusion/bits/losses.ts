// Training losses of a model: their values and gradients over four draws of one stream.
import {
  boundLoss,
  convertWeight,
  dropLabels,
  edmLoss,
  fixedLarge,
  gaussianDecoder,
  hybridLoss,
  learned,
  learnedRange,
  linear,
  linearGamma,
  lossAwareTimes,
  lowDiscrepancyTimes,
  minSnrWeight,
  noisePrediction,
  p2Weight,
  preconditioned,
  predictionLoss,
  respace,
  respacedModel,
  snrWeight,
  spacedTimes,
  stratifiedTimes,
  truncatedSnrWeight,
  uniformTimes,
  variationalWeight,
  vdmLoss,
} from "@pkg/diffusion";
import { parameters } from "@pkg/nn";
import { type RandomStream, type Tensor, torchStream, valueAndGrad } from "@pkg/tensor";
import { type BitCase, type BitCases, joined, type Numbers, standing, stream } from "./digest.ts";
import { IMAGE_LABELS, imageNet, images, LABELS, labelledNet, planeNet, points } from "./models.ts";

const schedule = linear(1000);

/** The values and gradients of a loss over four draws, where the stream stands then, and what else was noted. */
export async function drawn(
  module: object,
  rng: RandomStream,
  loss: (note: (numbers: Numbers) => void) => Tensor,
): Promise<Record<string, Numbers>> {
  const values: Tensor[] = [];
  const gradients: Tensor[] = [];
  const notes: Numbers[] = [];
  for (let draw = 0; draw < 4; draw++) {
    const { value, grads } = valueAndGrad(() => loss((numbers) => notes.push(numbers)), parameters(module));
    values.push(value);
    gradients.push(...grads);
  }
  return {
    values: await joined(values),
    gradients: await joined(gradients),
    ...(notes.length > 0 && { notes: await joined(notes) }),
    stream: standing(rng),
  };
}

type Loss<Model> = (model: Model, x0: Tensor, rng: RandomStream, note: (numbers: Numbers) => void) => Tensor;

/** On points, without labels. */
function onPoints(loss: Loss<ReturnType<typeof planeNet>>, from: () => RandomStream = stream): BitCase {
  return (backend) => run(planeNet(backend), points(backend), loss, from());
}

function onLabels(loss: Loss<ReturnType<typeof planeNet>>): BitCase {
  return (backend) => run(labelledNet(backend), points(backend), loss);
}

function onImages(loss: Loss<ReturnType<typeof imageNet>>, config: Parameters<typeof imageNet>[1] = {}): BitCase {
  return (backend) => run(imageNet(backend, config), images(backend), loss);
}

function run<Model extends object>(
  model: Model,
  x0: Tensor,
  loss: Loss<Model>,
  rng: RandomStream = stream(),
): ReturnType<BitCase> {
  return drawn(model, rng, (note) => loss(model, x0, rng, note));
}

function kinds(): BitCases {
  const cases: Record<string, BitCase> = {};
  for (const prediction of ["noise", "data", "velocity", "score", "mean"] as const) {
    cases[`prediction ${prediction}`] = onPoints((model, x0, rng) =>
      predictionLoss(model, schedule, x0, rng, { prediction }),
    );
    for (const [name, weight] of Object.entries({
      snr: snrWeight(prediction),
      "truncated snr": truncatedSnrWeight(prediction),
      "min snr": minSnrWeight(5, prediction),
    }))
      cases[`prediction ${prediction}, weight ${name}`] = onPoints((model, x0, rng) =>
        predictionLoss(model, schedule, x0, rng, { prediction, weight }),
      );
  }
  return cases;
}

function weights(): BitCases {
  const of = {
    p2: p2Weight(),
    "p2 of k 2, gamma 0.5": p2Weight({ k: 2, gamma: 0.5 }),
    variational: variationalWeight(),
    "variational, fixedLarge": variationalWeight("fixedLarge"),
    "converted from data": convertWeight(() => 1, { from: "data", to: "noise" }),
    "of one's own": (_: unknown, t: number) => 1 / (1 + t),
  };
  const entries = Object.entries(of).map(([name, weight]): [string, BitCase] => [
    `prediction noise, weight ${name}`,
    onPoints((model, x0, rng) => predictionLoss(model, schedule, x0, rng, { weight })),
  ]);
  return Object.fromEntries(entries);
}

/** With the times and losses of the samples among the notes. */
function timesteps(): BitCases {
  const of = { uniform: uniformTimes(), stratified: stratifiedTimes(), "low discrepancy": lowDiscrepancyTimes() };
  const entries = Object.entries(of).map(([name, timesteps]): [string, BitCase] => [
    `prediction noise, times ${name}`,
    onPoints((model, x0, rng, note) =>
      predictionLoss(model, schedule, x0, rng, {
        timesteps,
        report: ({ times, losses }) => {
          note(times);
          note(losses);
        },
      }),
    ),
  ]);
  return Object.fromEntries(entries);
}

/** A sampler of ten steps with a history of its own. */
function lossAware(): ReturnType<typeof lossAwareTimes> {
  const sampler = lossAwareTimes(10, { history: 2, uniform: 0.01 });
  const all = Array.from({ length: 20 }, (_, k) => k % 10);
  sampler.update(
    all,
    all.map((t, k) => 1 / (1 + t) + k / 50),
  );
  return sampler;
}

const gamma = linearGamma({ start: -6, end: 5 });
const respaced = respace(schedule, spacedTimes(1000, 20));
const continuous = { label: (t: number) => 1000 * t };

export const losses: BitCases = {
  "noise prediction": onPoints((model, x0, rng) => noisePrediction(model, schedule, x0, rng)),
  "noise prediction, labels": onLabels((model, x0, rng) =>
    noisePrediction(model, schedule, x0, rng, { labels: LABELS }),
  ),
  "noise prediction, dropped labels": onLabels((model, x0, rng) =>
    noisePrediction(model, schedule, x0, rng, { labels: dropLabels(LABELS, 0.4, rng) }),
  ),
  "noise prediction, unet, labels": onImages((model, x0, rng) =>
    noisePrediction(model, schedule, x0, rng, { labels: IMAGE_LABELS }),
  ),
  "noise prediction, unet, dropout, scaleShift": onImages(
    (model, x0, rng) => noisePrediction(model, schedule, x0, rng, { labels: IMAGE_LABELS }),
    { dropout: 0.2, scaleShift: true },
  ),
  "noise prediction, respaced": onPoints((model, x0, rng) =>
    noisePrediction(respacedModel(model, respaced), respaced, x0, rng),
  ),
  // Of a stream that only the host can follow.
  "noise prediction, torch": onPoints(
    (model, x0, rng) => noisePrediction(model, schedule, x0, rng),
    () => torchStream(7),
  ),
  "edm, torch": onPoints(
    (model, x0, rng) => edmLoss(preconditioned(model), x0, rng),
    () => torchStream(7),
  ),
  "vdm, torch": onPoints(
    (model, x0, rng) => vdmLoss(model, gamma, x0, rng, continuous),
    () => torchStream(7),
  ),
  ...kinds(),
  ...weights(),
  ...timesteps(),
  "prediction noise, times loss-aware": onPoints((model, x0, rng) =>
    predictionLoss(model, linear(10), x0, rng, { timesteps: lossAware().draw }),
  ),
  "prediction velocity, unet, labels, stratified, min snr": onImages((model, x0, rng) =>
    predictionLoss(model, schedule, x0, rng, {
      prediction: "velocity",
      labels: IMAGE_LABELS,
      timesteps: stratifiedTimes(),
      weight: minSnrWeight(5, "velocity"),
    }),
  ),
  bound: onImages((model, x0, rng) => boundLoss(model, schedule, x0, rng)),
  "bound, 4 steps": onImages((model, x0, rng) => boundLoss(model, linear(4), x0, rng, { clip: true })),
  "bound, 10 steps, loss-aware": onImages((model, x0, rng) =>
    boundLoss(model, linear(10), x0, rng, { timesteps: lossAware().draw, variance: fixedLarge() }),
  ),
  "bound, points": onPoints((model, x0, rng) => boundLoss(model, linear(20), x0, rng, { decoder: gaussianDecoder() })),
  "bound, learned range": onImages(
    (model, x0, rng) => boundLoss(model, schedule, x0, rng, { variance: learnedRange(), labels: IMAGE_LABELS }),
    { outChannels: 2 },
  ),
  hybrid: onImages((model, x0, rng) => hybridLoss(model, schedule, x0, rng), { outChannels: 2 }),
  "hybrid, options": onImages(
    (model, x0, rng) =>
      hybridLoss(model, linear(20), x0, rng, {
        variance: learned(),
        lambda: 0.1,
        prediction: "data",
        weight: snrWeight("data"),
        labels: IMAGE_LABELS,
        timesteps: lowDiscrepancyTimes(),
        clip: true,
      }),
    { outChannels: 2 },
  ),
  edm: onPoints((model, x0, rng) => edmLoss(preconditioned(model), x0, rng)),
  "edm, options": onPoints((model, x0, rng) =>
    edmLoss(preconditioned(model, { sigmaData: 1 }), x0, rng, { mean: -0.4, deviation: 1, sigmaData: 1 }),
  ),
  "edm, unet, labels": onImages((model, x0, rng) => edmLoss(preconditioned(model), x0, rng, { labels: IMAGE_LABELS })),
  vdm: onPoints((model, x0, rng) => vdmLoss(model, linearGamma(), x0, rng, { label: (t) => t })),
  "vdm, labels of time": onPoints((model, x0, rng) => vdmLoss(model, gamma, x0, rng, continuous)),
  "vdm, 10 steps": onPoints((model, x0, rng) => vdmLoss(model, gamma, x0, rng, { steps: 10, ...continuous })),
  "vdm, unet, labels": onImages((model, x0, rng) =>
    vdmLoss(model, gamma, x0, rng, { labels: IMAGE_LABELS, ...continuous }),
  ),
};
