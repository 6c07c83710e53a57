// Training as start and train do it: from flags to a run, its files, and what is said when it ends.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { parameterCount } from "@pkg/nn";
import { writeFileAtomic } from "./atomicFile.ts";
import { type Checkpoint, loadCheckpoint } from "./checkpoint.ts";
import type { FlagValues } from "./flags.ts";
import { InputError, readingInput } from "./inputError.ts";
import { lossCurveSvg } from "./lossCurve.ts";
import { bundledMnist, loadMnist } from "./mnist.ts";
import { openBackend } from "./openBackend.ts";
import { checkpointIn, makeDirectory } from "./outDirectory.ts";
import type { Budget } from "./progress.ts";
import { newRun, type Run, restoreRun } from "./run.ts";
import { readRunLog } from "./runLog.ts";
import { say } from "./say.ts";
import { refuseOtherSettings, settingsFrom } from "./settingFlags.ts";
import { train } from "./train.ts";

/**
 * Trains.
 * @param before runs when everything given has been found good; true stops
 */
export async function trainRun(
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

/** The checkpoint to go on from. @throws InputError when it is missing, or a flag contradicts it */
function resumable(path: string, flags: FlagValues): Checkpoint {
  if (!existsSync(path))
    throw new InputError(`--resume: ${path} is not there, want a checkpoint of an earlier run in --out`);
  const checkpoint = loadCheckpoint(path, "resume");
  refuseOtherSettings(checkpoint.header.settings, path, flags);
  return checkpoint;
}
