// A training run as one safetensors file: weights, their average, the optimizer's moments, and as metadata all the rest.

import {
  type Backend,
  parseSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  serializeSafetensors,
  type Tensor,
  tensor,
} from "@pkg/tensor";
import { writeFileAtomic } from "./atomicFile.ts";
import { checkHeaderLength, openCheckpointFile } from "./checkpointFile.ts";
import { type CheckpointHeader, parseHeader, wrong } from "./checkpointHeader.ts";
import { InputError, readingInput } from "./inputError.ts";
import { MNIST_LABELS } from "./mnist.ts";
import { scheduleOf } from "./settings.ts";
import { checkShapes } from "./stateShapes.ts";

/** Named groups of tensors: "model", "ema", "optimizer". */
export type CheckpointTensors = Readonly<Record<string, ReadonlyMap<string, Tensor>>>;

/** What a checkpoint is read for: drawing and new runs need the averaged weights, going on all of it. */
export type Purpose = "draw" | "train" | "resume";

const KEY = "tweedie";
const GROUPS: Readonly<Record<Purpose, readonly string[]>> = {
  draw: ["ema"],
  train: ["ema"],
  resume: ["model", "ema", "optimizer"],
};

/** Weights, averages or moments that are not finite: what a diverged training would save. */
export class NonFiniteStateError extends Error {
  override readonly name = "NonFiniteStateError";
}

/**
 * Writes a checkpoint; a kill at any moment leaves the file that was there, or the new one, whole.
 * @throws NonFiniteStateError naming the tensor, and WriteError; the file that was there stays
 */
export async function saveCheckpoint(path: string, header: CheckpointHeader, groups: CheckpointTensors): Promise<void> {
  const entries = Object.entries(groups).flatMap(([group, tensors]) =>
    [...tensors].map(async ([name, value]) => {
      const data = Float32Array.from(await value.data());
      const wrong = data.find((element) => !Number.isFinite(element));
      if (wrong !== undefined)
        throw new NonFiniteStateError(`${group}.${name} has ${wrong} after ${header.step} steps`);
      return [`${group}.${name}`, { dtype: "F32" as const, shape: [...value.shape], data }] as const;
    }),
  );
  const bytes = serializeSafetensors(new Map(await Promise.all(entries)), { [KEY]: JSON.stringify(header) });
  checkHeaderLength(path, bytes);
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

/** Whether a file holds what `exportWeights` writes, and nothing that would be missed: no more than averaged weights. */
export function isExport(path: string): boolean {
  try {
    return [...loadCheckpoint(path, "draw").file.tensors.keys()].every((name) => name.startsWith("ema."));
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** A checkpoint as read and found good: `tensors` puts one of its groups on a backend. */
export interface Checkpoint {
  readonly header: CheckpointHeader;
  readonly file: SafetensorsFile;
  tensors(group: string, backend: Backend): Map<string, Tensor>;
}

/**
 * Reads a checkpoint and checks all of it, before anything is made of it: its header against a schema and against the tensors.
 * @throws InputError of one line when the file cannot be read, is no safetensors file, is not one of ours, or holds no such weights
 */
export function loadCheckpoint(path: string, purpose: Purpose): Checkpoint {
  const file = parse(path);
  const text = file.metadata[KEY];
  if (text === undefined) {
    throw new InputError(`${path}: no "${KEY}" in its metadata, want a checkpoint written by train or start`);
  }
  const header = parseHeader(path, text);
  readingInput(() => checkTensors(path, header, file, purpose));
  checkUse(path, header, purpose);
  return {
    header,
    file,
    tensors(group, backend) {
      const found = [...groupsOf(file).get(group)!];
      return new Map(
        found.map(([name, { data, shape }]) => [
          name,
          tensor(Float32Array.from(data as Float32Array), { backend, shape }),
        ]),
      );
    },
  };
}

function parse(path: string): SafetensorsFile {
  const source = readingInput(() => openCheckpointFile(path));
  try {
    return parseSafetensors(source);
  } catch (error) {
    throw new InputError(`${path}: ${error instanceof Error ? error.message : error}`);
  }
}

function checkTensors(path: string, { settings }: CheckpointHeader, file: SafetensorsFile, purpose: Purpose): void {
  const groups = groupsOf(file);
  const missing = GROUPS[purpose].find((group) => !groups.has(group));
  if (missing) throw new InputError(`${path}: no tensors named ${missing}.…, want ${GROUPS[purpose].join(", ")}`);
  const other = [...groups.keys()].find((group) => !GROUPS.resume.includes(group));
  if (other !== undefined) throw new InputError(`${path}: tensors named ${other}.…, want ${GROUPS.resume.join(", ")}`);
  for (const [name, { dtype }] of file.tensors) {
    if (!["F32", "F16", "BF16"].includes(dtype))
      throw new InputError(`${path}: ${name} ${dtype}, want F32, F16 or BF16`);
  }
  const shapes = new Map([...groups].map(([group, tensors]) => [group, shapesOf(tensors)]));
  checkShapes(path, settings.model, shapes);
  for (const [name, { data }] of file.tensors) {
    const at = (data as Float32Array).findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new InputError(`${path}: ${name} ${data[at]} at ${at}, want finite numbers`);
  }
}

/** What the commands need of a network: they draw grey or coloured images, and train on MNIST's. */
function checkUse(path: string, { settings }: CheckpointHeader, purpose: Purpose): void {
  const { inChannels, outChannels = inChannels, classes } = settings.model;
  const channels = purpose === "draw" ? [1, 3] : [1];
  if (!channels.includes(inChannels)) throw wrong(path, "settings.model.inChannels", inChannels, channels.join(" or "));
  if (outChannels !== inChannels)
    throw wrong(path, "settings.model.outChannels", outChannels, `${inChannels} as inChannels`);
  if (purpose !== "draw" && classes !== undefined && classes !== MNIST_LABELS) {
    throw wrong(path, "settings.model.classes", classes, `${MNIST_LABELS} as in the data`);
  }
  try {
    scheduleOf(settings);
  } catch (error) {
    throw new InputError(`${path}: settings.schedule: ${(error as Error).message}`);
  }
}

/** The tensors of a file by what stands before the first dot of their names. */
function groupsOf({ tensors }: SafetensorsFile): Map<string, Map<string, SafetensorsTensor>> {
  const groups = new Map<string, Map<string, SafetensorsTensor>>();
  for (const [name, value] of tensors) {
    const dot = name.indexOf(".");
    const [group, rest] = dot < 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot + 1)];
    groups.set(group, (groups.get(group) ?? new Map<string, SafetensorsTensor>()).set(rest, value));
  }
  return groups;
}

function shapesOf(tensors: ReadonlyMap<string, SafetensorsTensor>): Map<string, readonly number[]> {
  return new Map([...tensors].map(([name, { shape }]) => [name, shape]));
}
