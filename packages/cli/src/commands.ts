// What `start`, `train`, `sample` and `export` do.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { exitCodeOf, stopSignal } from "@pkg/command";
import { parameterCount } from "@pkg/nn";
import type { Backend, Tensor } from "@pkg/tensor";
import { type Checkpoint, exportWeights, isExport, loadCheckpoint } from "./checkpoint/checkpoint.ts";
import { postHocState } from "./checkpoint/snapshots.ts";
import { sayFid } from "./fid/fid.ts";
import { checkpointIn, makeDirectory } from "./files/outDirectory.ts";
import { isRegularFile } from "./files/regularFile.ts";
import { averagedModel, samplerOf } from "./images/drawImages.ts";
import { mnistFrom } from "./images/mnistFrom.ts";
import { type GridRequest, writeGrid } from "./images/sampleGrid.ts";
import { InputError, readingInput } from "./inputError.ts";
import { openBackend } from "./openBackend.ts";
import { counted, say } from "./say.ts";
import type { FlagName, FlagValues } from "./settings/flags.ts";
import { objectiveOf } from "./settings/objectives.ts";
import type { Settings } from "./settings/settings.ts";
import { trainRun } from "./training/trainRun.ts";

export const TRAIN_FLAGS = [
  "minutes",
  "steps",
  "data",
  "out",
  "resume",
  "from",
  "save-every",
  "backend",
  "batch",
  "accumulate",
  "lr",
  "optimizer",
  "lr-schedule",
  "lr-steps",
  "warmup",
  "clip",
  "ema",
  "ema-sigma-rel",
  "ema-every",
  "objective",
  "student-steps",
  "schedule",
  "diffusion-steps",
  "network",
  "channels",
  "multipliers",
  "blocks",
  "attention",
  "patch",
  "width",
  "depth",
  "heads",
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

/** What --sampler takes without --steps. */
const SAMPLER_STEPS = 25;

/** A network that was trained longer than anybody wants to wait for, as `export` wrote it; README names the command. */
const PRETRAINED = "docs/mnist.safetensors";

/** Draws with the network that comes with the project, trains one, and draws with that. Returns the exit code. */
export async function start(flags: FlagValues): Promise<number> {
  const signal = stopSignal();
  const isStopped = await trainRun(flags, signal, {
    async before({ settings, backend }) {
      gridRequests(flags, settings); // refused before the training, not after it
      const isNew = !flags.isOn("resume") && flags.given("label") === undefined && existsSync(PRETRAINED);
      if (!isNew) return false;
      return drawFrom(PRETRAINED, loadCheckpoint(PRETRAINED, "draw"), flags, backend, signal, {
        prefix: "pretrained-",
      });
    },
    after({ settings, average, backend, image }) {
      const model = averagedModel(settings, average.state(), backend);
      return writeGrids(gridRequests(flags, settings), (request, onStep) =>
        writeGrid(model, settings, image, request, signal, onStep),
      );
    },
  });
  return isStopped ? exitCodeOf(signal) : 0;
}

/** Trains. Returns the exit code. */
export async function trainOnly(flags: FlagValues): Promise<number> {
  const signal = stopSignal();
  return (await trainRun(flags, signal)) ? exitCodeOf(signal) : 0;
}

/** Samples from a checkpoint. Returns the exit code. */
export async function sampleOnly(flags: FlagValues): Promise<number> {
  const signal = stopSignal();
  const path = checkpointFrom(flags);
  // All refused before a backend is opened.
  const isPostHoc = flags.given("ema-sigma-rel") !== undefined;
  const checkpoint = loadCheckpoint(path, isPostHoc ? "drawPostHoc" : "draw");
  const steps = flags.given("steps");
  if (gridRequests(flags, checkpoint.header.settings, { steps }).length === 0) {
    throw new InputError("--ddim-steps 0 and --ancestral-steps 0: want one of them above 0");
  }
  const average = isPostHoc ? postHocState(path, checkpoint, flags.number("ema-sigma-rel")) : undefined;
  makeDirectory(flags.word("out"));
  const isStopped = await drawFrom(path, checkpoint, flags, await openBackend(flags), signal, { steps, average });
  return isStopped ? exitCodeOf(signal) : 0;
}

/** The steps of a solver in `fid` without --steps. */
const FID_STEPS = "50";

/** Says how far images from a checkpoint are from the test images. Returns the exit code. */
export async function fidOnly(flags: FlagValues): Promise<number> {
  const signal = stopSignal();
  const path = checkpointFrom(flags);
  const checkpoint = loadCheckpoint(path, "draw");
  const { settings } = checkpoint.header;
  const { few } = objectiveOf(settings);
  const asked = few
    ? { steps: flags.given("steps") }
    : { sampler: flags.given("sampler") ?? "ddim", steps: flags.given("steps") ?? FID_STEPS };
  const [request] = gridRequests(flags, settings, asked);
  const images = mnistFrom(flags);
  return (await sayFid(checkpoint, request, images, await openBackend(flags), signal)) ? exitCodeOf(signal) : 0;
}

/** Writes the averaged weights of a checkpoint alone. Returns the exit code. */
export async function exportOnly(flags: FlagValues): Promise<number> {
  const from = checkpointFrom(flags);
  const to = flags.given("to");
  if (to === undefined) throw new InputError("--to: missing, want the file to write");
  const checkpoint = loadCheckpoint(from, "draw");
  // Above all not a checkpoint that a run can go on from.
  if (readingInput(() => isRegularFile(to)) && !isExport(to)) {
    throw new InputError(`--to ${to}: is there and was not written by export, want another name`);
  }
  readingInput(() => exportWeights(to, checkpoint));
  say(`averaged weights of ${from} after ${checkpoint.header.step} steps, in half precision: ${to}`);
  return 0;
}

/** The checkpoint that --checkpoint names, else the one in --out, else the one that comes with the project. */
function checkpointFrom(flags: FlagValues): string {
  const own = checkpointIn(flags.word("out"));
  return flags.given("checkpoint") ?? (existsSync(own) || !existsSync(PRETRAINED) ? own : PRETRAINED);
}

/** Writes the grids that flags ask for from a checkpoint. Returns whether `signal` stopped it. */
async function drawFrom(
  path: string,
  checkpoint: Checkpoint,
  flags: FlagValues,
  backend: Backend,
  signal: AbortSignal,
  asked: Asked = {},
): Promise<boolean> {
  const { settings, image, step } = checkpoint.header;
  const requests = gridRequests(flags, settings, asked);
  const average = asked.average ?? ((backend) => checkpoint.tensors("ema", backend));
  const model = averagedModel(settings, average(backend), backend);
  say(`sampling from a network of ${parameterCount(model)} weights after ${step} steps: ${path}`);
  return writeGrids(requests, (request, onStep) => writeGrid(model, settings, image, request, signal, onStep));
}

/** Writes one grid a request. Returns whether it was stopped. */
async function writeGrids(
  requests: readonly GridRequest[],
  write: (request: GridRequest, onStep: (step: number, steps: number) => void) => Promise<boolean>,
): Promise<boolean> {
  for (const request of requests) {
    const began = performance.now();
    const stopped = await write(request, showSampling(request.sampler));
    if (stopped) return true;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    say(
      `${request.count} samples by ${request.sampler} in ${counted(request.steps, "step")}, ${seconds} s: ${request.path}`,
    );
  }
  return false;
}

interface Asked {
  /** How the files' names begin. */
  readonly prefix?: string;
  /** The solver. Default: what --sampler says. */
  readonly sampler?: string;
  /** The steps that the command line asks of its sampler, as typed. */
  readonly steps?: string;
  /** The weights to draw with. Default: the checkpoint's average. */
  readonly average?: (backend: Backend) => Map<string, Tensor>;
}

function gridRequests(flags: FlagValues, settings: Settings, asked: Asked = {}): GridRequest[] {
  const labels = labelsFrom(flags, settings);
  const { few, hasSchedule } = objectiveOf(settings);
  const most = hasSchedule ? settings.diffusionSteps : Number.POSITIVE_INFINITY;
  const drawers = few ? [fewFrom(flags, settings, asked)] : samplersFrom(flags, settings, asked);
  return drawers.flatMap(([sampler, flag, wanted]) => {
    if (flags.given(flag) && wanted > most) {
      throw new InputError(`--${flag} ${wanted}: want at most the schedule's ${most}`);
    }
    if (wanted === 0) return [];
    const steps = Math.min(wanted, most);
    try {
      samplerOf(settings, sampler, steps);
    } catch (error) {
      throw new InputError(`--${few ? "steps" : "sampler"} ${few ? steps : sampler}: ${(error as Error).message}`);
    }
    return [
      {
        sampler,
        steps,
        count: flags.number("count"),
        seed: flags.given("seed") ? flags.number("seed") : settings.seed,
        labels,
        guidance: flags.number("guidance"),
        path: join(flags.word("out"), `${asked.prefix ?? ""}samples-${sampler}.png`),
      },
    ];
  });
}

/** A sampler, the flag that says its steps, and how many they are. */
type Drawer = [sampler: string, flag: FlagName, steps: number];

/** The solvers to draw by. @throws InputError for flags that exclude each other */
function samplersFrom(flags: FlagValues, settings: Settings, asked: Asked): Drawer[] {
  const { steps, sampler: chosen = flags.given("sampler") } = asked;
  if (chosen === undefined) {
    if (steps !== undefined) throw new InputError(`--steps ${steps}: want --sampler with it`);
    return objectiveOf(settings).grids.map(({ sampler, flag }) => [sampler, flag, flags.number(flag)]);
  }
  refuseGiven(flags, ["ddim-steps", "ancestral-steps"], "want --steps with --sampler");
  return [[chosen, "steps", Number(steps ?? SAMPLER_STEPS)]];
}

/** What draws in few steps. @throws InputError for a solver, and steps that the network was not distilled for */
function fewFrom(flags: FlagValues, { objective = "noise", student }: Settings, asked: Asked): Drawer {
  refuseGiven(flags, ["sampler", "ddim-steps", "ancestral-steps"], `want --steps alone with a network of ${objective}`);
  const steps = Number(asked.steps ?? student?.steps ?? 1);
  if (student && steps !== student.steps)
    throw new InputError(`--steps ${steps}: want ${student.steps}, which the network was distilled for`);
  return [objective, "steps", steps];
}

function refuseGiven(flags: FlagValues, names: readonly FlagName[], wanted: string): void {
  for (const name of names)
    if (flags.given(name) !== undefined) throw new InputError(`--${name} ${flags.given(name)}: ${wanted}`);
}

/** The labels to draw. @throws InputError when the network knows no such labels, or --guidance has nothing to go towards */
function labelsFrom(flags: FlagValues, { model: { classes } }: Settings): number[] | undefined {
  const [given, guidance] = [flags.given("label"), flags.given("guidance")];
  if (given === undefined) {
    if (guidance !== undefined) throw new InputError(`--guidance ${guidance}: want --label with it`);
    return undefined;
  }
  if (classes === undefined) throw new InputError(`--label ${given}: want a network that was trained with --labels`);
  const labels = flags.numbers("label");
  if (!labels.every((label) => label < classes))
    throw new InputError(`--label ${given}: want labels from 0 to ${classes - 1}`);
  return labels;
}

/** One line on a terminal that is written over; nothing elsewhere. */
function showSampling(sampler: string): (step: number, steps: number) => void {
  return (step, steps) => {
    if (process.stderr.isTTY)
      process.stderr.write(`\r${sampler}: step ${step} of ${steps}${step === steps ? "\n" : ""}`);
  };
}
