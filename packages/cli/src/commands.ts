// What `start`, `train` and `sample` do.

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { parameterCount } from "@pkg/nn";
import { type Backend, bestBackend, cpu, wasm, webgpu } from "@pkg/tensor";
import { removeStaleTemporaries, writeFileAtomic } from "./atomicFile.ts";
import { type Checkpoint, exportWeights, loadCheckpoint } from "./checkpoint.ts";
import { FLAGS, type FlagName, type FlagValues, numberList } from "./flags.ts";
import { InputError, readingInput } from "./inputError.ts";
import { lossCurveSvg } from "./lossCurve.ts";
import { bundledMnist, loadMnist, MNIST_LABELS } from "./mnist.ts";
import type { Budget } from "./progress.ts";
import { newRun, type Run, restoreRun } from "./run.ts";
import { readRunLog } from "./runLog.ts";
import { averagedModel, type GridRequest, type SamplerName, writeGrid } from "./sampleGrid.ts";
import type { Settings } from "./settings.ts";
import { stopSignal } from "./stopSignal.ts";
import { train } from "./train.ts";

export const TRAIN_FLAGS = [
  "minutes",
  "steps",
  "data",
  "out",
  "resume",
  "save-every",
  "backend",
  "batch",
  "lr",
  "warmup",
  "clip",
  "ema",
  "schedule",
  "diffusion-steps",
  "channels",
  "multipliers",
  "blocks",
  "attention",
  "labels",
  "label-dropout",
  "seed",
] as const satisfies FlagName[];

export const SAMPLE_FLAGS = [
  "count",
  "label",
  "guidance",
  "ddim-steps",
  "ancestral-steps",
] as const satisfies FlagName[];

/** Flags that a checkpoint fixes: giving another value with --resume is an error. */
const SETTING_FLAGS: Partial<Record<FlagName, (settings: Settings) => unknown>> = {
  batch: (s) => s.batch,
  lr: (s) => s.lr,
  warmup: (s) => s.warmup,
  clip: (s) => s.clipNorm,
  ema: (s) => s.emaDecay,
  schedule: (s) => s.schedule,
  "diffusion-steps": (s) => s.diffusionSteps,
  channels: (s) => s.model.channels,
  multipliers: (s) => s.model.multipliers.join(","),
  blocks: (s) => s.model.blocks,
  attention: (s) => s.model.attentionLevels?.join(",") ?? "",
  labels: (s) => s.model.classes !== undefined,
  "label-dropout": (s) => s.labelDropout ?? "no labels",
  seed: (s) => s.seed,
};

/** Exit codes: 130 after a stop by Ctrl-C, as shells have it. */
const STOPPED = 130;

/** A network that was trained longer than anybody wants to wait for, as `export` wrote it; README names the command. */
const PRETRAINED = "docs/mnist.safetensors";

/** Draws with the network that comes with the project, trains one, and draws with that. Returns the exit code. */
export async function start(flags: FlagValues): Promise<number> {
  const signal = stopSignal();
  const { run, stopped } = await trainFrom(flags, signal, async ({ settings, backend }) => {
    gridRequests(flags, settings); // refused before the training, not after it
    const isNew = !flags.isOn("resume") && flags.given("label") === undefined && existsSync(PRETRAINED);
    return isNew && (await drawFrom(PRETRAINED, flags, backend, signal, "pretrained-")) === STOPPED;
  });
  if (stopped) return STOPPED;
  const model = averagedModel(run.settings, run.average.state(), run.backend);
  return writeGrids(gridRequests(flags, run.settings), (request, onStep) =>
    writeGrid(model, run.settings, run.image, request, signal, onStep),
  );
}

/** Trains. Returns the exit code. */
export async function trainOnly(flags: FlagValues): Promise<number> {
  const { stopped } = await trainFrom(flags, stopSignal());
  return stopped ? STOPPED : 0;
}

/** Samples from a checkpoint. Returns the exit code. */
export async function sampleOnly(flags: FlagValues): Promise<number> {
  const own = checkpointIn(flags.word("out"));
  const path = flags.given("checkpoint") ?? (existsSync(own) || !existsSync(PRETRAINED) ? own : PRETRAINED);
  loadCheckpoint(path); // refused before a backend is opened
  return drawFrom(path, flags, await openBackend(flags), stopSignal());
}

/** Writes the averaged weights of a checkpoint alone. Returns the exit code. */
export async function exportOnly(flags: FlagValues): Promise<number> {
  const from = flags.given("checkpoint") ?? checkpointIn(flags.word("out"));
  const to = flags.given("to");
  if (to === undefined) throw new InputError("--to: missing, want the file to write");
  const checkpoint = loadCheckpoint(from);
  readingInput(() => exportWeights(to, checkpoint));
  say(`averaged weights of ${from} after ${checkpoint.header.step} steps, in half precision: ${to}`);
  return 0;
}

/** Writes the grids that flags ask for from a checkpoint, under names that begin with `prefix`. Returns the exit code. */
async function drawFrom(
  path: string,
  flags: FlagValues,
  backend: Backend,
  signal: AbortSignal,
  prefix = "",
): Promise<number> {
  const checkpoint = loadCheckpoint(path);
  const { settings, image, step } = checkpoint.header;
  const requests = gridRequests(flags, settings, prefix);
  const model = averagedModel(settings, checkpoint.tensors("ema", backend), backend);
  say(`sampling from a network of ${parameterCount(model)} weights after ${step} steps: ${path}`);
  makeDirectory(flags.word("out"));
  return writeGrids(requests, (request, onStep) => writeGrid(model, settings, image, request, signal, onStep));
}

/** @param before runs when everything given has been found good; true stops */
async function trainFrom(
  flags: FlagValues,
  signal: AbortSignal,
  before: (run: Run) => Promise<boolean> = async () => false,
): Promise<{ run: Run; stopped: boolean }> {
  const out = flags.word("out");
  const files = { checkpoint: checkpointIn(out), log: join(out, "log.jsonl") };
  const checkpoint = flags.isOn("resume") ? resumable(files.checkpoint, flags) : undefined;
  const fresh = checkpoint ? undefined : settingsFrom(flags);
  const data = readingInput(() => (flags.given("data") ? loadMnist(flags.word("data")) : bundledMnist()));
  const { height, width, count } = data.train;
  makeDirectory(out);
  const backend = await openBackend(flags);
  const run = checkpoint
    ? restoreRun(checkpoint, backend)
    : newRun(fresh ?? settingsFrom(flags), { height, width }, backend);
  if (run.image.height !== height || run.image.width !== width) {
    throw new InputError(
      `--data: images of ${height} × ${width}, want ${run.image.height} × ${run.image.width} as in ${files.checkpoint}`,
    );
  }
  if (await before(run)) return { run, stopped: true };
  const budget: Budget = flags.given("steps") ? { steps: flags.number("steps") } : { minutes: flags.number("minutes") };
  say(
    `training a U-Net of ${parameterCount(run.model)} weights on ${count} images of ${height} × ${width}` +
      `${checkpoint ? `, going on after step ${run.optimizer.steps}` : ""}`,
  );
  const plan = { budget, saveEvery: flags.number("save-every") };
  const stopped = await train(run, data.train, plan, files, signal);
  const rows = readRunLog(files.log).filter(
    (row): row is typeof row & { loss: number } => typeof row.loss === "number",
  );
  if (rows.length > 0) {
    const curve = join(out, "loss.svg");
    writeFileAtomic(curve, new TextEncoder().encode(await lossCurveSvg(rows)));
    say(
      `loss ${rows[0].loss.toFixed(3)} at first, ${rows[rows.length - 1].loss.toFixed(3)} at step ${run.optimizer.steps}: ${curve}, ${files.log}`,
    );
  }
  say(`${stopped ? "stopped; " : ""}checkpoint after ${run.optimizer.steps} steps: ${files.checkpoint}`);
  if (stopped) say("go on with --resume");
  return { run, stopped };
}

/** Writes one grid a request. Returns the exit code. */
async function writeGrids(
  requests: readonly GridRequest[],
  write: (request: GridRequest, onStep: (step: number, steps: number) => void) => Promise<boolean>,
): Promise<number> {
  for (const request of requests) {
    const began = performance.now();
    const stopped = await write(request, showSampling(request.sampler));
    if (stopped) return STOPPED;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    say(`${request.count} samples by ${request.sampler} in ${request.steps} steps, ${seconds} s: ${request.path}`);
  }
  return 0;
}

function gridRequests(flags: FlagValues, settings: Settings, prefix = ""): GridRequest[] {
  const { diffusionSteps, seed } = settings;
  const labels = labelsFrom(flags, settings);
  const samplers: [SamplerName, FlagName][] = [
    ["ddim", "ddim-steps"],
    ["ancestral", "ancestral-steps"],
  ];
  return samplers.flatMap(([sampler, flag]) => {
    const wanted = flags.number(flag);
    if (flags.given(flag) && wanted > diffusionSteps) {
      throw new InputError(`--${flag} ${wanted}: want at most the schedule's ${diffusionSteps}`);
    }
    if (wanted === 0) return [];
    return [
      {
        sampler,
        steps: Math.min(wanted, diffusionSteps),
        count: flags.number("count"),
        seed: flags.given("seed") ? flags.number("seed") : seed,
        labels,
        guidance: flags.number("guidance"),
        path: join(flags.word("out"), `${prefix}samples-${sampler}.png`),
      },
    ];
  });
}

/** The labels to draw. @throws InputError when the network knows no such labels, or --guidance has nothing to go towards */
function labelsFrom(flags: FlagValues, { model: { classes } }: Settings): number[] | undefined {
  const [given, guidance] = [flags.given("label"), flags.given("guidance")];
  if (given === undefined) {
    if (guidance !== undefined) throw new InputError(`--guidance ${guidance}: want --label with it`);
    return undefined;
  }
  if (classes === undefined) throw new InputError(`--label ${given}: want a network that was trained with --labels`);
  const labels = numberList("label", given);
  if (labels.length === 0 || !labels.every((label) => Number.isInteger(label) && label >= 0 && label < classes))
    throw new InputError(`--label ${given}: want labels from 0 to ${classes - 1}`);
  return labels;
}

function settingsFrom(flags: FlagValues): Settings {
  const attentionLevels = numberList("attention", flags.word("attention"));
  const isLabelled = flags.isOn("labels");
  const dropout = flags.given("label-dropout");
  if (dropout !== undefined && !isLabelled) throw new InputError(`--label-dropout ${dropout}: want --labels with it`);
  return {
    model: {
      inChannels: 1,
      channels: flags.number("channels"),
      multipliers: numberList("multipliers", flags.word("multipliers")),
      blocks: flags.number("blocks"),
      attentionLevels,
      ...(isLabelled && { classes: MNIST_LABELS }),
    },
    schedule: flags.word("schedule") === "linear" ? "linear" : "cosine",
    diffusionSteps: flags.number("diffusion-steps"),
    batch: flags.number("batch"),
    lr: flags.number("lr"),
    warmup: flags.number("warmup"),
    clipNorm: flags.number("clip"),
    emaDecay: flags.number("ema"),
    seed: flags.number("seed"),
    ...(isLabelled && { labelDropout: flags.number("label-dropout") }),
  };
}

/** The checkpoint to go on from. @throws InputError when it is missing, or a flag contradicts it */
function resumable(path: string, flags: FlagValues): Checkpoint {
  if (!existsSync(path))
    throw new InputError(`--resume: ${path} is not there, want a checkpoint of an earlier run in --out`);
  const checkpoint = loadCheckpoint(path);
  const { settings } = checkpoint.header;
  for (const [name, setting] of Object.entries(SETTING_FLAGS) as [FlagName, (settings: Settings) => unknown][]) {
    const given = flags.given(name);
    const known = String(setting(settings));
    const isSame =
      given === undefined ||
      given === known ||
      ((FLAGS[name] as { range?: unknown }).range !== undefined && Number(given) === Number(known));
    if (!isSame)
      throw new InputError(`--${name} ${given}: ${path} was made with ${known}, want that or nothing with --resume`);
  }
  return checkpoint;
}

const OPENERS: Readonly<Record<string, () => Backend | Promise<Backend>>> = { cpu, wasm, webgpu };

async function openBackend(flags: FlagValues): Promise<Backend> {
  const onChoice = (reason: string) => say(`backend: ${reason}`);
  const wanted = flags.word("backend");
  if (wanted === "best") return bestBackend({ onChoice });
  try {
    const backend = await OPENERS[wanted]();
    onChoice(`${backend.name} (--backend ${wanted})`);
    return backend;
  } catch (error) {
    throw new InputError(`--backend ${wanted}: ${error instanceof Error ? error.message : error}`);
  }
}

function checkpointIn(out: string): string {
  return join(out, "checkpoint.safetensors");
}

function makeDirectory(path: string): void {
  readingInput(() => {
    mkdirSync(path, { recursive: true });
    removeStaleTemporaries(path);
  });
}

/** One line on a terminal that is written over; nothing elsewhere. */
function showSampling(sampler: SamplerName): (step: number, steps: number) => void {
  return (step, steps) => {
    if (process.stderr.isTTY)
      process.stderr.write(`\r${sampler}: step ${step} of ${steps}${step === steps ? "\n" : ""}`);
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
