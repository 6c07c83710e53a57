// Training past the loss of a device: a new one is opened, and the run goes on from its last checkpoint, bit for bit.

import { ForeseenError } from "@pkg/command";
import { type Backend, DeviceLostError } from "@pkg/tensor";
import { loadCheckpoint } from "../checkpoint/checkpoint.ts";
import type { TrainFiles } from "../files/saving.ts";
import type { LabelledImages } from "../images/mnist.ts";
import { say } from "../say.ts";
import { type Run, restoreRun } from "./run.ts";
import { type TrainPlan, train } from "./train.ts";

/** Devices that may be lost in a row without a checkpoint in between: what fails again and again would do so for ever. */
const MOST_LOSSES = 3;

/**
 * Trains as `train` does.
 * @param reopen opens a device in place of a lost one
 * @returns the run as it ended, which may be another object than the one given
 * @throws ForeseenError when too many devices were lost; the checkpoint is as it was
 */
export async function trainPastLosses(
  first: Run,
  images: LabelledImages,
  plan: TrainPlan,
  files: TrainFiles,
  signal: AbortSignal,
  reopen: () => Promise<Backend>,
): Promise<{ readonly run: Run; readonly stopped: boolean }> {
  let run = first;
  let last = run.optimizer.steps;
  for (let losses = 1; ; losses++) {
    try {
      return { run, stopped: await train(run, images, plan, files, signal) };
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error;
      const checkpoint = loadCheckpoint(files.checkpoint, "resume");
      const { step } = checkpoint.header;
      if (step > last) losses = 1;
      last = step;
      const where = `${files.checkpoint}, after ${step} steps`;
      if (losses > MOST_LOSSES) {
        throw new ForeseenError(`${error.message}, ${losses} times since ${where}: go on from there with --resume`);
      }
      say(`${error.message}; going on from ${where}, on a new device`);
      run.backend.dispose();
      run = restoreRun(checkpoint, await opened(reopen, where), run.settings);
    }
  }
}

async function opened(reopen: () => Promise<Backend>, where: string): Promise<Backend> {
  try {
    return await reopen();
  } catch (error) {
    throw new ForeseenError(`${(error as Error).message}; the run is in ${where}: go on from there with --resume`);
  }
}
