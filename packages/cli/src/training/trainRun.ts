// Training as start and train do it: from flags to a run, its files, and what is said when it ends.

import { join } from "node:path";
import { parameterCount } from "@pkg/nn";
import { checkNetwork } from "../checkpoint/stateShapes.ts";
import { WriteError, writeFileAtomic } from "../files/atomicFile.ts";
import { checkpointIn, logIn, makeDirectory, moveRunAside } from "../files/outDirectory.ts";
import { lockRun } from "../files/runLock.ts";
import { readRunLog } from "../files/runLog.ts";
import type { TrainFiles } from "../files/saving.ts";
import type { LabelledImages } from "../images/mnist.ts";
import { mnistFrom } from "../images/mnistFrom.ts";
import { InputError, readingInput } from "../inputError.ts";
import { openBackend } from "../openBackend.ts";
import { say } from "../say.ts";
import type { FlagValues } from "../settings/flags.ts";
import { networkOf } from "../settings/networks.ts";
import { changesBetween } from "../settings/settingFlags.ts";
import { type Beginning, beginningFrom, requireResumable } from "./beginning.ts";
import { lossCurveSvg } from "./lossCurve.ts";
import { type Run, saveRun } from "./run.ts";
import type { TrainPlan } from "./train.ts";
import { trainPastLosses } from "./trainPastLosses.ts";

/** What a command does around the training; each returns whether it was stopped. */
export interface Around {
  /** Runs when everything given has been found good, before anything of an earlier run is moved. */
  readonly before?: (run: Run) => Promise<boolean>;
  /** Runs when the training has ended by itself. */
  readonly after?: (run: Run) => Promise<boolean>;
}

/** Trains, alone in the folder of --out. @returns whether `signal` stopped it */
export async function trainRun(flags: FlagValues, signal: AbortSignal, around: Around = {}): Promise<boolean> {
  const out = flags.word("out");
  const checkpoint = checkpointIn(out);
  // Whatever can be refused before the folder is made is; a checkpoint in it is read when no other run can change it.
  if (flags.isOn("resume")) requireResumable(checkpoint);
  const images = mnistFrom(flags).train;
  const beginning = () => checkedFor(images, beginningFrom(flags, checkpoint, images.channels));
  const early = flags.isOn("resume") ? undefined : beginning();
  makeDirectory(out);
  const lock = await lockRun(out);
  try {
    const files = { checkpoint, log: logIn(out), lock };
    const run = await begin(early ?? beginning(), images, files, flags, around);
    if (!run) return true;
    const ended = await trainPastLosses(run, images, planOf(flags), files, signal, () => openBackend(flags));
    await tellEnd(ended.run, ended.stopped, files, out);
    return ended.stopped || ((await around.after?.(ended.run)) ?? false);
  } finally {
    lock.release();
  }
}

/** @throws InputError for images that the network does not fit, and flags that make no network */
function checkedFor(images: LabelledImages, beginning: Beginning): Beginning {
  const { settings } = beginning;
  const inWords = (channels: number) => (channels === 1 ? "grey" : "in colour");
  const { inChannels } = settings.model;
  if (inChannels !== images.channels)
    throw new InputError(
      `--data: images ${inWords(images.channels)}, want them ${inWords(inChannels)} as in the checkpoint`,
    );
  const network = networkOf(settings);
  const misfit = network.misfit(settings.model, images);
  if (misfit)
    throw new InputError(`--${misfit.flag} ${network.told(settings.model)[misfit.flag]}: want ${misfit.wanted}`);
  if (!beginning.checkpoint) checkNetwork(settings); // that of a checkpoint was made once
  return beginning;
}

/** Makes the run, and room for it; undefined where it was stopped before. */
async function begin(
  beginning: Beginning,
  images: LabelledImages,
  files: TrainFiles,
  flags: FlagValues,
  { before }: Around,
): Promise<Run | undefined> {
  const { settings, checkpoint, isResumed } = beginning;
  const { height, width, count } = images;
  const known = isResumed ? checkpoint?.header.image : undefined;
  if (known && (known.height !== height || known.width !== width)) {
    throw new InputError(
      `--data: images of ${height} × ${width}, want ${known.height} × ${known.width} as in ${files.checkpoint}`,
    );
  }
  if (isResumed) checkLog(files.log);
  const run = beginning.make({ height, width }, await openBackend(flags));
  if (await before?.(run)) return undefined;
  if (!isResumed) await makeRoom(run, files, flags.word("out"));
  const step = run.optimizer.steps;
  for (const change of isResumed && checkpoint ? changesBetween(checkpoint.header.settings, settings) : []) {
    say(`from step ${step} on: ${change}`);
  }
  say(
    `training ${networkOf(settings).title} of ${parameterCount(run.model)} weights on ${count} images of ${height} × ${width}` +
      `${images.channels === 3 ? " in colour" : ""}` +
      `${isResumed ? `, going on after step ${step}` : ""}`,
  );
  return run;
}

/**
 * Moves an earlier run aside, and saves the new one before its first step: so there is never a log beside a checkpoint of another run, and
 * always something to go on from.
 */
async function makeRoom(run: Run, files: TrainFiles, out: string): Promise<void> {
  const aside = readingInput(() => moveRunAside(out));
  if (aside !== undefined) say(`the earlier run in ${out} is now in ${aside}`);
  await saveRun(files.checkpoint, run).catch((error) => {
    throw error instanceof WriteError ? new InputError(error.message, { cause: error }) : error;
  });
}

/** @throws InputError when steps could not be added to the log */
function checkLog(path: string): void {
  try {
    readRunLog(path);
  } catch (error) {
    throw new InputError(`${(error as Error).message}; move it away to go on with a new log`, { cause: error });
  }
}

function planOf(flags: FlagValues): TrainPlan {
  const budget = flags.given("steps") ? { steps: flags.number("steps") } : { minutes: flags.number("minutes") };
  return { budget, began: performance.now(), saveEvery: flags.number("save-every") };
}

async function tellEnd(run: Run, stopped: boolean, files: TrainFiles, out: string): Promise<void> {
  const rows = readRunLog(files.log).filter(
    (row): row is typeof row & { loss: number } => typeof row.loss === "number",
  );
  const { steps } = run.optimizer;
  if (rows.length > 0) {
    const curve = join(out, "loss.svg");
    writeFileAtomic(curve, new TextEncoder().encode(await lossCurveSvg(rows)));
    const [first, last] = [rows[0], rows[rows.length - 1]].map(({ loss }) => loss.toFixed(3));
    say(`loss ${first} at first, ${last} at step ${steps}: ${curve}, ${files.log}`);
  }
  say(`${stopped ? "stopped; " : ""}checkpoint after ${steps} steps: ${files.checkpoint}`);
  if (stopped) say("go on with --resume");
}
