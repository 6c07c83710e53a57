// What a run of the bench leaves: the file that `--json` writes and that comparisons and reports read.
import { readFile } from "node:fs/promises";
import { InputError } from "@pkg/command";
import type { Ceilings } from "./ceilings.ts";
import type { EndToEnd } from "./endToEnd.ts";
import type { Environment } from "./environment.ts";
import type { GpuCosts } from "./gpuCosts.ts";
import type { Measurement, Missing } from "./measure.ts";

/** Raised when a reader of older files would misread newer ones. */
export const SCHEMA = 2;

/** A backend of ours, or a library measured beside it. */
export interface BackendFacts {
  readonly label: string;
  /** What runs the kernels. */
  readonly name: string;
  /** Of ours. */
  readonly ceilings?: Ceilings;
  /** Of WebGPU. */
  readonly costs?: GpuCosts;
}

export interface BenchResult {
  readonly schema: typeof SCHEMA;
  readonly environment: Environment;
  readonly backends: readonly BackendFacts[];
  readonly measurements: readonly Measurement[];
  readonly networks: readonly EndToEnd[];
  readonly failures: readonly Missing[];
  readonly absent: readonly Missing[];
}

/** @throws InputError for a file that is no result, or of another schema */
export async function readResult(file: string): Promise<BenchResult> {
  const wanted = `want schema ${SCHEMA} (a file that bench --json of these sources wrote)`;
  let result: Partial<BenchResult> | null;
  try {
    result = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new InputError(`${file}: ${error instanceof Error ? error.message : error}, ${wanted}`);
  }
  if (result?.schema !== SCHEMA) throw new InputError(`${file}: schema ${result?.schema}, ${wanted}`);
  if (!Array.isArray(result.measurements) || !Array.isArray(result.networks)) {
    throw new InputError(`${file}: no measurements and networks in it, ${wanted}`);
  }
  return result as BenchResult; // its own writer filled in the rest
}
