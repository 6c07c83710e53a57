// The training loop: steps until a budget ends or somebody stops it, with progress, a log, and checkpoints on the way.

import type { LabelledImages } from "./mnist.ts";
import { type Budget, progress } from "./progress.ts";
import { type Run, saveRun, trainStep } from "./run.ts";
import { openRunLog } from "./runLog.ts";

export interface TrainFiles {
  readonly checkpoint: string;
  readonly log: string;
}

/** How long to train. */
export interface TrainPlan {
  /** `steps` counts those that the run already has; `minutes` counts from now. */
  readonly budget: Budget;
  /** Seconds between checkpoints. */
  readonly saveEvery: number;
}

/**
 * Trains until the budget is used up or `signal` aborts, then saves.
 * @returns whether it was stopped before its budget ended
 * @throws Error when the loss is not finite; the last checkpoint stays as it is then
 */
export async function train(
  run: Run,
  images: LabelledImages,
  { budget, saveEvery }: TrainPlan,
  files: TrainFiles,
  signal: AbortSignal,
): Promise<boolean> {
  const { optimizer, settings } = run;
  const firstStep = optimizer.steps;
  const log = openRunLog(files.log, firstStep);
  const display = progress(budget, { firstStep });
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const isOver = () => ("steps" in budget ? optimizer.steps >= budget.steps : seconds() >= budget.minutes * 60);
  let saved = seconds();

  const settle = async (step: number, pending: Promise<number>): Promise<void> => {
    const loss = await pending;
    if (!Number.isFinite(loss)) {
      throw new Error(
        `the loss of step ${step} is ${loss}: lower --lr; ${files.checkpoint} is as it was ${(seconds() - saved).toFixed(0)} s ago`,
      );
    }
    log.append({ step, loss, seconds: seconds() });
    display.update({ step: step + 1, loss, images: (step + 1 - firstStep) * settings.batch });
  };
  try {
    // One step is queued while the loss of the one before it is waited for.
    let before: Promise<void> = Promise.resolve();
    while (!isOver() && !signal.aborted) {
      const step = optimizer.steps;
      const pending = trainStep(run, images);
      await before;
      before = settle(step, pending);
      before.catch(() => {}); // it is awaited in the next turn
      if (seconds() - saved >= saveEvery) {
        await before;
        await saveRun(files.checkpoint, run);
        saved = seconds();
      }
      await new Promise(setImmediate); // lets signals in
    }
    await before;
    await saveRun(files.checkpoint, run);
    return signal.aborted && !isOver();
  } finally {
    display.stop();
    log.close();
  }
}
