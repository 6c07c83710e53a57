// A training run: its parts, one step of it, and how it is saved and restored. When to stop is train.ts's business.

import { dropLabels } from "@pkg/diffusion";
import { type Ema, ema, loadStateDict, type Optimizer, parameters, powerEma, stateDict } from "@pkg/nn";
import {
  type Backend,
  type Captured,
  capture,
  type RandomStream,
  randomStream,
  type Tensor,
  tensor,
  tidy,
} from "@pkg/tensor";
import { type Checkpoint, saveCheckpoint } from "../checkpoint/checkpoint.ts";
import type { LabelledImages } from "../images/mnist.ts";
import { readingInput } from "../inputError.ts";
import type { ImageNetwork } from "../networks/network.ts";
import { makeNetwork } from "../settings/networks.ts";
import { objectiveOf } from "../settings/objectives.ts";
import { optimizerFor, rateOf } from "../settings/optimizers.ts";
import { type Settings, scheduleOf } from "../settings/settings.ts";

export interface Run {
  readonly settings: Settings;
  readonly image: { readonly height: number; readonly width: number };
  readonly backend: Backend;
  readonly model: ImageNetwork;
  readonly average: Ema;
  /** The network that a student learns from, whose weights stay. */
  readonly teacher?: ImageNetwork;
  /** Those of the lengths in `settings.powerEma`. */
  readonly powerAverages: readonly Ema[];
  readonly optimizer: Optimizer;
  /** Draws times and noise. */
  readonly rng: RandomStream;
  /** One update by images and, in a run with labels, their labels; gives the loss. */
  readonly update: Captured<[x0: Tensor, labels: readonly (number | null)[]], Tensor>;
}

/** A run at its beginning. @throws InputError when the settings make no network */
export function newRun(settings: Settings, image: Run["image"], backend: Backend): Run {
  const root = randomStream(settings.seed);
  const model = readingInput(() => makeNetwork(settings, { backend, rng: root.split("weights") }));
  const { accumulate = 1, clipNorm, emaDecay, labelDropout } = settings;
  const average = ema(model, emaDecay);
  const powerAverages = (settings.powerEma?.sigmaRels ?? []).map((sigmaRel) => powerEma(model, sigmaRel));
  const optimizer = optimizerFor(settings, parameters(model), { lr: rateOf(settings), clipNorm });
  const objective = objectiveOf(settings);
  const schedule = readingInput(() => scheduleOf(settings));
  const teacher = settings.student && makeNetwork(settings, { backend, rng: null });
  const student = settings.student &&
    teacher && { teacher, prediction: settings.student.teacher, steps: settings.student.steps };
  const rng = root.split("noise");
  const update = capture((x0: Tensor, labels: readonly (number | null)[]) => {
    const step = optimizer.steps;
    const lossOf = ({ x0, labels }: Part) => {
      const conditioning = labelDropout === undefined ? {} : { labels };
      return objective.loss(model, { x0, rng, schedule, step, student, ...conditioning });
    };
    const whole: Part = { x0, labels };
    const loss =
      accumulate === 1
        ? optimizer.minimize(() => lossOf(whole))
        : optimizer.minimize(lossOf, { batches: partsOf(whole, accumulate) });
    for (const each of [average, ...powerAverages]) each.update();
    return loss;
  });
  return { settings, image, backend, model, average, teacher, powerAverages, optimizer, rng, update };
}

/** Images and their labels. */
interface Part {
  readonly x0: Tensor;
  readonly labels: readonly (number | null)[];
}

function partsOf({ x0, labels }: Part, count: number): Part[] {
  const size = labels.length / count;
  return x0.split(size).map((x0, k) => ({ x0, labels: labels.slice(k * size, (k + 1) * size) }));
}

/** A run as a checkpoint left it, with settings that may differ where that changes neither network nor data. */
export function restoreRun(
  { header, tensors }: Checkpoint,
  backend: Backend,
  settings: Settings = header.settings,
): Run {
  const run = newRun(settings, header.image, backend);
  tidy(() => {
    loadStateDict(run.model, tensors("model", backend));
    run.average.load(tensors("ema", backend), header.step);
    const averages = [...tensors("powerEma", backend)];
    for (const [k, average] of run.powerAverages.entries()) {
      const own = averages.filter(([name]) => name.startsWith(`${k}.`));
      average.load(new Map(own.map(([name, value]) => [name.slice(`${k}.`.length), value])), header.step);
    }
    run.optimizer.load(tensors("optimizer", backend), header.step);
    if (run.teacher) loadStateDict(run.teacher, tensors("teacher", backend));
  });
  run.rng.restore(header.rng);
  return run;
}

/** A new run that begins with the averaged weights of a checkpoint, which are its teacher's too where it is a student. */
export function runFromWeights(
  { tensors }: Checkpoint,
  settings: Settings,
  image: Run["image"],
  backend: Backend,
): Run {
  const run = newRun(settings, image, backend);
  tidy(() => {
    const weights = tensors("ema", backend);
    loadStateDict(run.model, weights);
    run.average.load(weights, 0);
    if (run.teacher) loadStateDict(run.teacher, weights);
  });
  return run;
}

/** Writes a run's checkpoint. @throws as `saveCheckpoint` does */
export async function saveRun(path: string, run: Run): Promise<void> {
  const { settings, image, optimizer, model, average, teacher, powerAverages, rng } = run;
  const header = { format: 1, settings, image, step: optimizer.steps, rng: rng.state() } as const;
  await saveCheckpoint(path, header, {
    model: stateDict(model),
    ema: average.state(),
    optimizer: optimizer.state(),
    ...(teacher && { teacher: stateDict(teacher) }),
    ...(powerAverages.length > 0 && { powerEma: powerStateOf(run) }),
  });
}

/** The power-function averages, each under its index. */
export function powerStateOf({ powerAverages }: Pick<Run, "powerAverages">): Map<string, Tensor> {
  const entries = powerAverages.flatMap((average, k) =>
    [...average.state()].map(([name, t]) => [`${k}.${name}`, t] as const),
  );
  return new Map(entries);
}

/** One update; its loss, once the backend has it. */
export function trainStep({ settings, backend, optimizer, rng, update }: Run, images: LabelledImages): Promise<number> {
  return tidy(() => {
    const { x0, labels } = batchAt(images, optimizer.steps, settings, backend);
    const { labelDropout } = settings;
    const loss = update(x0, labelDropout === undefined ? labels : dropLabels(labels, labelDropout, rng));
    return { pending: loss.item() };
  }).pending;
}

/** The images of a step, [batch, height, width, channels] in [−1, 1], and their labels: every epoch its own permutation, both known from the seed. */
function batchAt(
  { images, labels, count, height, width, channels }: LabelledImages,
  step: number,
  { batch, seed }: Settings,
  backend: Backend,
): { x0: Tensor; labels: number[] } {
  const perEpoch = Math.max(1, Math.floor(count / batch));
  const order = epochOrder(seed, Math.floor(step / perEpoch), count);
  const first = (step % perEpoch) * batch;
  const pixels = height * width * channels;
  const values = new Float32Array(batch * pixels);
  const chosen = Array.from({ length: batch }, (_, b) => order[(first + b) % count]);
  for (const [b, image] of chosen.entries()) {
    for (let i = 0; i < pixels; i++) values[b * pixels + i] = images[image * pixels + i] / 127.5 - 1;
  }
  const x0 = tensor(values, { backend, shape: [batch, height, width, channels] });
  return { x0, labels: chosen.map((image) => labels[image]) };
}

let known: { seed: number; epoch: number; count: number; order: Uint32Array } | undefined;

/** The order of an epoch; the last one asked for is kept. */
function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  if (known?.seed !== seed || known.epoch !== epoch || known.count !== count) {
    const order = randomStream(seed).split("data").split(epoch).permutation(count);
    known = { seed, epoch, count, order: Uint32Array.from(order) };
  }
  return known.order;
}
