// The training loop: steps until a budget ends or somebody stops it, with progress, a log, and checkpoints on the way.

import { ForeseenError } from "@pkg/command";
import { NonFiniteStateError } from "../checkpoint/checkpoint.ts";
import { snapshotsBeside, writeSnapshot } from "../checkpoint/snapshots.ts";
import { openRunLog } from "../files/runLog.ts";
import { isOfDisk, saving, type TrainFiles } from "../files/saving.ts";
import type { LabelledImages } from "../images/mnist.ts";
import { changeableOf } from "../settings/settingFlags.ts";
import { type Budget, progress } from "./progress.ts";
import { powerStateOf, type Run, trainStep } from "./run.ts";

/** How long to train. */
export interface TrainPlan {
  /** `steps` counts those that the run already has; `minutes` counts from `began`. */
  readonly budget: Budget;
  /** When the training began, by `performance.now()`. */
  readonly began: number;
  /** Seconds between checkpoints. */
  readonly saveEvery: number;
}

/** Seconds after which a save that failed is tried again, if the next is not due before. */
const RETRY = 30;

/**
 * Trains until the budget is used up or `signal` aborts, then saves.
 * @returns whether it was stopped before its budget ended
 * @throws ForeseenError when the loss or the weights are not finite, or the last save fails; the checkpoint stays as it is then
 */
export async function train(
  run: Run,
  images: LabelledImages,
  { budget, began, saveEvery }: TrainPlan,
  files: TrainFiles,
  signal: AbortSignal,
): Promise<boolean> {
  const { optimizer, settings } = run;
  const firstStep = optimizer.steps;
  const log = openRunLog(files.log, firstStep);
  const display = progress(budget, { firstStep });
  const saves = saving(run, files, log, display.print);
  const seconds = () => (performance.now() - began) / 1000;
  const isOver = () => ("steps" in budget ? optimizer.steps >= budget.steps : seconds() >= budget.minutes * 60);
  let tried = seconds();

  const settle = async (step: number, pending: Promise<number>): Promise<void> => {
    const loss = await pending;
    if (!Number.isFinite(loss)) throw new ForeseenError(`the loss of step ${step} is ${loss}: ${saves.advice()}`);
    // What this process trains with stands beside its first step: a run that went on may have changed it.
    log.append({ step, loss, seconds: seconds(), ...(step === firstStep && changeableOf(settings)) });
    display.update({ step: step + 1, loss, samples: (step + 1 - firstStep) * settings.batch });
  };
  try {
    // One step is queued while the loss of the one before it is waited for.
    let before: Promise<void> = Promise.resolve();
    while (!isOver() && !signal.aborted) {
      const step = optimizer.steps;
      const pending = trainStep(run, images);
      await before;
      await snapshot(run, files.checkpoint, display.print);
      before = settle(step, pending);
      before.catch(() => {}); // it is awaited in the next turn
      if (seconds() - tried >= (saves.failure ? Math.min(saveEvery, RETRY) : saveEvery)) {
        await before;
        await saves.save();
        tried = seconds();
      }
      await new Promise(setImmediate); // lets signals in
    }
    await before;
    await saves.save(true);
    if (saves.failure) throw new ForeseenError(`the last save failed: ${saves.failure.message}`);
    return signal.aborted && !isOver();
  } finally {
    display.stop();
    log.close();
  }
}

/**
 * Writes the power-function averages when it is time. One that the disk refuses is told and left out: averages of other lengths are made of
 * the others.
 */
async function snapshot(run: Run, checkpoint: string, tell: (line: string) => void): Promise<void> {
  const { powerEma } = run.settings;
  const step = run.optimizer.steps;
  if (!powerEma || step % powerEma.every !== 0) return;
  try {
    await writeSnapshot(snapshotsBeside(checkpoint), step, powerStateOf(run));
  } catch (error) {
    if (error instanceof NonFiniteStateError) return; // which the loss of the next step will tell
    if (!isOfDisk(error)) throw error;
    tell(`no snapshot of step ${step}: ${error.message}; training goes on`);
  }
}
