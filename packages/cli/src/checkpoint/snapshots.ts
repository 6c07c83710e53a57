// Snapshots of a run's power-function averages: files beside its checkpoint, of which `sample` makes averages of other lengths.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type EmaSnapshot, postHocEma, postHocWeights } from "@pkg/nn";
import { type Backend, parseSafetensors, type SafetensorsFile, type Tensor, tensor } from "@pkg/tensor";
import { InputError } from "../inputError.ts";
import type { Settings } from "../settings/settings.ts";
import { type Checkpoint, writeState } from "./checkpoint.ts";
import { withCheckpointFile } from "./checkpointFile.ts";

/** Power-function averages of a run: their lengths, and the updates between snapshots. */
type Kept = NonNullable<Settings["powerEma"]>;

/** The folder of the snapshots that belong to a checkpoint. */
export function snapshotsBeside(checkpoint: string): string {
  return join(dirname(checkpoint), "ema");
}

/** Writes the averages after `step` updates, each under its length. @throws NonFiniteStateError and WriteError, as checkpoints do */
export async function writeSnapshot(
  folder: string,
  step: number,
  averages: ReadonlyMap<string, Tensor>,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${`${step}`.padStart(9, "0")}.safetensors`);
  await writeState(path, step, { powerEma: averages }, {});
}

/**
 * The averaged weights of another length, of the snapshots beside a checkpoint and of the checkpoint itself.
 * @param path of the checkpoint, for errors and to find the others
 * @returns what makes them on a backend, and throws InputError when a file is no snapshot of the run
 * @throws InputError when the run kept no such averages, or the snapshots span no such length
 */
export function postHocState(
  path: string,
  checkpoint: Checkpoint,
  sigmaRel: number,
): (backend: Backend) => Map<string, Tensor> {
  const { step, settings } = checkpoint.header;
  const { powerEma } = settings;
  const last = checkpoint.groups.get("powerEma");
  if (!powerEma || !last || step === 0)
    throw new InputError(
      `--ema-sigma-rel ${sigmaRel}: ${path} was trained without --ema-sigma-rel, want it with train`,
    );
  const files = filesBeside(path, step);
  const snapshotsOn = (backend: Backend) => [
    ...files.flatMap((file) => ofFile(file, powerEma, last, backend)),
    ...powerEma.sigmaRels.map(
      (length, k): EmaSnapshot => ({
        sigmaRel: length,
        step,
        state: () => only(k, checkpoint.tensors("powerEma", backend)),
      }),
    ),
  ];
  try {
    postHocWeights(
      [...files, { step }].flatMap((at) => powerEma.sigmaRels.map((length) => ({ sigmaRel: length, step: at.step }))),
      { sigmaRel },
    );
    return (backend) => postHocEma(snapshotsOn(backend), { sigmaRel });
  } catch (error) {
    throw new InputError(`--ema-sigma-rel ${sigmaRel}: ${(error as Error).message.replace(/^postHocWeights: /, "")}`, {
      cause: error,
    });
  }
}

/** Files of snapshots before `step`: what is later is of a run that was killed, and will be written again. */
function filesBeside(checkpoint: string, step: number): { readonly path: string; readonly step: number }[] {
  const folder = snapshotsBeside(checkpoint);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^\d{9,}\.safetensors$/.test(name))
    .map((name) => ({ path: join(folder, name), step: Number.parseInt(name, 10) }))
    .filter((file) => file.step >= 1 && file.step < step);
}

function ofFile(
  file: { readonly path: string; readonly step: number },
  { sigmaRels }: Kept,
  wanted: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  backend: Backend,
): EmaSnapshot[] {
  return sigmaRels.map((sigmaRel, k) => ({
    sigmaRel,
    step: file.step,
    state: () =>
      only(
        k,
        withCheckpointFile(file.path, (source) => read(file.path, parse(file.path, source), wanted, backend)),
      ),
  }));
}

type Source = Parameters<typeof parseSafetensors>[0];

function parse(path: string, source: Source): SafetensorsFile {
  try {
    return parseSafetensors(source);
  } catch (error) {
    throw new InputError(`${path}: ${(error as Error).message}`);
  }
}

/** @throws InputError for tensors that are not those of the run's checkpoint */
function read(
  path: string,
  { tensors }: SafetensorsFile,
  wanted: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  backend: Backend,
): Map<string, Tensor> {
  return new Map(
    [...wanted].map(([name, { shape }]) => {
      const found = tensors.get(`powerEma.${name}`);
      if (found?.dtype !== "F32" || `${found.shape}` !== `${shape}`)
        throw new InputError(`${path}: powerEma.${name} is not F32 [${shape.join(", ")}], want a snapshot of this run`);
      return [name, tensor(found.data, { backend, shape })];
    }),
  );
}

/** The tensors of the average of index k, by their own paths. */
function only(k: number, averages: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const prefix = `${k}.`;
  return new Map(
    [...averages].filter(([name]) => name.startsWith(prefix)).map(([name, t]) => [name.slice(prefix.length), t]),
  );
}
