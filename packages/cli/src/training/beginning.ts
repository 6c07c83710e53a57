// Where a run begins: anew, with the weights of a checkpoint, or where a checkpoint left it.

import { existsSync } from "node:fs";
import type { Backend } from "@pkg/tensor";
import { type Checkpoint, loadCheckpoint } from "../checkpoint/checkpoint.ts";
import { InputError } from "../inputError.ts";
import type { FlagValues } from "../settings/flags.ts";
import { resumedSettings, settingsFrom, settingsFromWeights } from "../settings/settingFlags.ts";
import type { Settings } from "../settings/settings.ts";
import { newRun, type Run, restoreRun, runFromWeights } from "./run.ts";

export interface Beginning {
  readonly settings: Settings;
  /** What the run begins with; none for a network of random weights. */
  readonly checkpoint?: Checkpoint;
  /** Whether it goes on with the steps of the checkpoint. */
  readonly isResumed: boolean;
  make(image: Run["image"], backend: Backend): Run;
}

/**
 * @param path the checkpoint in --out
 * @param channels of the images
 * @throws InputError when a checkpoint is missing or wrong, or a flag contradicts it
 */
export function beginningFrom(flags: FlagValues, path: string, channels: number): Beginning {
  const from = flags.given("from");
  if (flags.isOn("resume")) {
    if (from !== undefined) throw new InputError(`--from ${from}: want it or --resume, not both`);
    requireResumable(path);
    const checkpoint = loadCheckpoint(path, "resume");
    const settings = resumedSettings(checkpoint.header.settings, path, flags);
    return { settings, checkpoint, isResumed: true, make: (_, backend) => restoreRun(checkpoint, backend, settings) };
  }
  if (from === undefined) {
    const settings = settingsFrom(flags, channels);
    return { settings, isResumed: false, make: (image, backend) => newRun(settings, image, backend) };
  }
  const checkpoint = loadCheckpoint(from, "train");
  const settings = settingsFromWeights(checkpoint.header.settings, from, flags);
  const make = (image: Run["image"], backend: Backend) => runFromWeights(checkpoint, settings, image, backend);
  return { settings, checkpoint, isResumed: false, make };
}

/** @throws InputError when there is no checkpoint to go on from */
export function requireResumable(path: string): void {
  if (existsSync(path)) return;
  throw new InputError(`--resume: ${path} is not there, want a checkpoint of an earlier run in --out`);
}
