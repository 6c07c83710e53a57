// How a training saves: again and again, past failures of the disk, and never weights that are not finite.

import { ForeseenError } from "@pkg/command";
import { NonFiniteStateError } from "../checkpoint/checkpoint.ts";
import { type Run, saveRun } from "../training/run.ts";
import { WriteError } from "./atomicFile.ts";
import type { RunLock } from "./runLock.ts";
import type { RunLog } from "./runLog.ts";

/** Where a run is kept. */
export interface TrainFiles {
  readonly checkpoint: string;
  readonly log: string;
  /** Held before every save, so that no other run is written over. */
  readonly lock: RunLock;
}

export interface Saving {
  /**
   * Writes the checkpoint and what waits of the log. A failure to write is told once, and the training can go on; the next call tries again.
   * @param isLast whether the training ends here: the caller tells of a failure then
   * @throws ForeseenError where the run's state is not finite: the checkpoint stays as it is
   */
  save(isLast?: boolean): Promise<void>;
  /** Why the last `save` wrote nothing; undefined where it did. */
  readonly failure: Error | undefined;
  /** What to do when the training has diverged, with the checkpoint that there is. */
  advice(): string;
}

/** @param tell given what happened, one line at a time */
export function saving(run: Run, { checkpoint, lock }: TrainFiles, log: RunLog, tell: (line: string) => void): Saving {
  let failure: Error | undefined;
  let savedStep = run.optimizer.steps;
  const write = async (): Promise<void> => {
    const step = run.optimizer.steps;
    lock.hold();
    await saveRun(checkpoint, run);
    savedStep = step;
    log.flush();
  };
  const saves: Saving = {
    async save(isLast = false) {
      try {
        await write();
      } catch (error) {
        if (error instanceof NonFiniteStateError) throw new ForeseenError(`${error.message}: ${saves.advice()}`);
        if (!isOfDisk(error)) throw error;
        if (!failure && !isLast) tell(`cannot save: ${error.message}; training goes on, and tries again`);
        failure = error;
        return;
      }
      if (failure) tell(`saved again, after ${savedStep} steps`);
      failure = undefined;
    },
    get failure() {
      return failure;
    },
    advice() {
      const lower = Number((run.settings.lr / 10).toPrecision(2));
      return `the learning rate is too high; ${checkpoint} stays as after ${savedStep} steps, go on from there with --resume --lr ${lower}`;
    },
  };
  return saves;
}

/** Whether a failure is one of the disk, which may pass. */
export function isOfDisk(error: unknown): error is Error {
  return (
    error instanceof WriteError || (error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined)
  );
}
