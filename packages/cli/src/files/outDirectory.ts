// The folder of --out: what lies where in it, and how an earlier run makes room for a new one.

import { accessSync, constants, lstatSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { InputError, readingInput } from "../inputError.ts";
import { removeStaleTemporaries } from "./atomicFile.ts";

/** The checkpoint of the run in a folder. */
export function checkpointIn(out: string): string {
  return join(out, "checkpoint.safetensors");
}

/** The losses of the run in a folder, step by step. */
export function logIn(out: string): string {
  return join(out, "log.jsonl");
}

/** Makes the folder, and removes what killed processes left unfinished in it. @throws InputError when it cannot be made or written */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new InputError(`--out ${path}: ${reason}, want a directory that can be written`);
  }
  readingInput(() => removeStaleTemporaries(path));
}

// The checkpoint goes first: a kill between two moves then leaves nothing to resume, rather than weights beside another run's log.
const OF_A_RUN = [
  "checkpoint.safetensors",
  "log.jsonl",
  "ema",
  "loss.svg",
  "sample.txt",
  "samples-ddim.png",
  "samples-ancestral.png",
];

/**
 * Moves what a run would write over, of an earlier one or of `sample`, into a new folder in its own.
 * @returns that folder; undefined where there was nothing
 */
export function moveRunAside(out: string): string | undefined {
  // Also what is no file: a link to nothing would be in the way too.
  const there = OF_A_RUN.filter((name) => lstatSync(join(out, name), { throwIfNoEntry: false }) !== undefined);
  if (there.length === 0) return undefined;
  const aside = newDirectory(out);
  for (const name of there) renameSync(join(out, name), join(aside, name));
  return aside;
}

function newDirectory(out: string): string {
  for (let k = 1; ; k++) {
    const path = join(out, `earlier-${k}`);
    try {
      mkdirSync(path);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}
