// The directory of --out: what lies where in it.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { removeStaleTemporaries } from "./atomicFile.ts";
import { readingInput } from "./inputError.ts";

export function checkpointIn(out: string): string {
  return join(out, "checkpoint.safetensors");
}

export function makeDirectory(path: string): void {
  readingInput(() => {
    mkdirSync(path, { recursive: true });
    removeStaleTemporaries(path);
  });
}
