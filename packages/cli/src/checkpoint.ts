// A training run as one safetensors file: weights, their average, the optimizer's moments, and as metadata all the rest.

import { readFileSync } from "node:fs";
import {
  type Backend,
  parseSafetensors,
  type RandomState,
  type SafetensorsFile,
  serializeSafetensors,
  type Tensor,
  tensor,
} from "@pkg/tensor";
import { writeFileAtomic } from "./atomicFile.ts";
import { InputError, readingInput } from "./inputError.ts";
import type { Settings } from "./settings.ts";

/** What is not a tensor. */
export interface CheckpointHeader {
  readonly format: 1;
  readonly settings: Settings;
  /** Images are [height, width, settings.model.inChannels]. */
  readonly image: { readonly height: number; readonly width: number };
  /** Updates done. */
  readonly step: number;
  /** The state of the random stream that draws noise and times. */
  readonly rng: RandomState;
}

/** Named groups of tensors: "model", "ema", "optimizer". */
export type CheckpointTensors = Readonly<Record<string, ReadonlyMap<string, Tensor>>>;

const KEY = "tweedie";

/** Writes a checkpoint; a kill at any moment leaves the file that was there, or the new one, whole. */
export async function saveCheckpoint(path: string, header: CheckpointHeader, groups: CheckpointTensors): Promise<void> {
  const entries = Object.entries(groups).flatMap(([group, tensors]) =>
    [...tensors].map(async ([name, value]) => {
      const data = Float32Array.from(await value.data());
      return [`${group}.${name}`, { dtype: "F32" as const, shape: [...value.shape], data }] as const;
    }),
  );
  const bytes = serializeSafetensors(new Map(await Promise.all(entries)), { [KEY]: JSON.stringify(header) });
  writeFileAtomic(path, bytes);
}

/** Writes what sampling needs, the averaged weights, in half precision (an eighth of the file). */
export function exportWeights(path: string, { header, file }: Checkpoint): void {
  const averages = [...file.tensors].filter(([name]) => name.startsWith("ema."));
  const halved = averages.map(([name, { shape, data }]) => {
    return [name, { dtype: "F16" as const, shape, data: Float32Array.from(data as Float32Array) }] as const;
  });
  writeFileAtomic(path, serializeSafetensors(new Map(halved), { [KEY]: JSON.stringify(header) }));
}

/** A checkpoint as read: `tensors` puts one of its groups on a backend. */
export interface Checkpoint {
  readonly header: CheckpointHeader;
  readonly file: SafetensorsFile;
  tensors(group: string, backend: Backend): Map<string, Tensor>;
}

/** @throws InputError when the file cannot be read, is no safetensors file, or is not one of ours */
export function loadCheckpoint(path: string): Checkpoint {
  const bytes = readingInput(() => readFileSync(path));
  const file = parse(path, bytes);
  const header = headerOf(path, file.metadata[KEY]);
  return {
    header,
    file,
    tensors(group, backend) {
      const prefix = `${group}.`;
      const found = [...file.tensors].filter(([name]) => name.startsWith(prefix));
      return new Map(
        found.map(([name, { data, shape }]) => [
          name.slice(prefix.length),
          tensor(Float32Array.from(data as Float32Array), { backend, shape }),
        ]),
      );
    },
  };
}

function parse(path: string, bytes: Uint8Array): SafetensorsFile {
  try {
    return parseSafetensors(bytes);
  } catch (error) {
    throw new InputError(`${path}: ${error instanceof Error ? error.message : error}`);
  }
}

function headerOf(path: string, text: string | undefined): CheckpointHeader {
  const wanted = `want a checkpoint written by train or start`;
  if (text === undefined) throw new InputError(`${path}: no "${KEY}" in its metadata, ${wanted}`);
  let header: Partial<CheckpointHeader>;
  try {
    header = JSON.parse(text) as Partial<CheckpointHeader>; // checked field by field below
  } catch {
    throw new InputError(`${path}: its metadata is not JSON, ${wanted}`);
  }
  const { format, settings, image, step, rng } = header;
  if (format !== 1) throw new InputError(`${path}: format ${format}, want 1`);
  if (!settings?.model || !image || !rng || !Number.isInteger(step)) {
    throw new InputError(`${path}: its metadata lacks settings, image, step or rng, ${wanted}`);
  }
  return header as CheckpointHeader;
}
