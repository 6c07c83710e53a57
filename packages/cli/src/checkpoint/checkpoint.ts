// A training run as one safetensors file: weights, their average, the optimizer's moments, and as metadata all the rest.

import {
  type Backend,
  type ByteSource,
  parseSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  serializeSafetensors,
  type Tensor,
  tensor,
} from "@pkg/tensor";
import { writeFileAtomic } from "../files/atomicFile.ts";
import { MNIST_LABELS } from "../images/mnist.ts";
import { InputError, readingInput } from "../inputError.ts";
import { networkOf } from "../settings/networks.ts";
import { scheduleOf } from "../settings/settings.ts";
import { checkHeaderLength, withCheckpointFile } from "./checkpointFile.ts";
import { type CheckpointHeader, parseHeader, wrong } from "./checkpointHeader.ts";
import { checkShapes } from "./stateShapes.ts";

/** Named groups of tensors: "model", "ema", "optimizer", "powerEma" in a run that keeps power-function averages, and "teacher" in a student's. */
export type CheckpointTensors = Readonly<Record<string, ReadonlyMap<string, Tensor>>>;

/** What a checkpoint is read for: drawing and new runs need averaged weights, going on all of it. */
export type Purpose = "draw" | "drawPostHoc" | "train" | "resume";

const KEY = "tweedie";
const GROUPS: Readonly<Record<Purpose, readonly string[]>> = {
  draw: ["ema"],
  drawPostHoc: ["ema"],
  train: ["ema"],
  resume: ["model", "ema", "optimizer"],
};

/** Those that settings ask for besides. */
function groupsFor(purpose: Purpose, { powerEma, student }: CheckpointHeader["settings"]): readonly string[] {
  const isPostHoc = powerEma && (purpose === "resume" || purpose === "drawPostHoc");
  const isTaught = student && purpose === "resume";
  return [...GROUPS[purpose], ...(isPostHoc ? ["powerEma"] : []), ...(isTaught ? ["teacher"] : [])];
}

const FLOATS: readonly string[] = ["F32", "F16", "BF16"];

/** Weights, averages or moments that are not finite: what a diverged training would save. */
export class NonFiniteStateError extends Error {
  override readonly name = "NonFiniteStateError";
}

/**
 * Writes a checkpoint; a kill at any moment leaves the file that was there, or the new one, whole.
 * @throws NonFiniteStateError naming the tensor, and WriteError; the file that was there stays
 */
export function saveCheckpoint(path: string, header: CheckpointHeader, groups: CheckpointTensors): Promise<void> {
  return writeState(path, header.step, groups, { [KEY]: JSON.stringify(header) });
}

/**
 * Writes tensors as they are now, after `step` updates.
 * @throws NonFiniteStateError naming the tensor, and WriteError; the file that was there stays
 */
export async function writeState(
  path: string,
  step: number,
  groups: CheckpointTensors,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const entries = Object.entries(groups).flatMap(([group, tensors]) =>
    [...tensors].map(async ([name, value]) => {
      const data = Float32Array.from(await value.data());
      const wrong = data.find((element) => !Number.isFinite(element));
      if (wrong !== undefined) throw new NonFiniteStateError(`${group}.${name} has ${wrong} after ${step} steps`);
      return [`${group}.${name}`, { dtype: "F32" as const, shape: [...value.shape], data }] as const;
    }),
  );
  const bytes = serializeSafetensors(new Map(await Promise.all(entries)), metadata);
  checkHeaderLength(path, bytes);
  writeFileAtomic(path, bytes);
}

/**
 * Writes what sampling needs, the averaged weights, in half precision (an eighth of the file).
 * @throws InputError naming a weight too large for it, and WriteError
 */
export function exportWeights(path: string, { header, groups }: Checkpoint): void {
  const halved = [...(groups.get("ema") ?? [])].map(([name, { shape, data }]) => {
    const wide = data.find((weight) => Math.abs(weight) >= LARGEST_HALF);
    if (wide !== undefined)
      throw new InputError(`ema.${name} has ${wide}, want less than ${LARGEST_HALF} for half precision`);
    return [`ema.${name}`, { dtype: "F16" as const, shape, data }] as const;
  });
  writeFileAtomic(path, serializeSafetensors(new Map(halved), { [KEY]: JSON.stringify(header) }));
}

/** What float16 rounds to infinity, and all above. */
const LARGEST_HALF = 65_520;

/** Whether a file holds what `exportWeights` writes, and nothing that would be missed: no more than averaged weights. */
export function isExport(path: string): boolean {
  try {
    return `${loadCheckpoint(path, "draw").names}` === "ema";
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** Weights of a file, in memory. */
interface Stored {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A checkpoint as read and found good. */
export interface Checkpoint {
  readonly header: CheckpointHeader;
  /** The groups in the file. */
  readonly names: readonly string[];
  /** Those that it was read for. */
  readonly groups: ReadonlyMap<string, ReadonlyMap<string, Stored>>;
  /** One of these on a backend. */
  tensors(group: string, backend: Backend): Map<string, Tensor>;
}

/**
 * Reads a checkpoint and checks all of it, before anything is made of it: its header against a schema and against the tensors.
 * @throws InputError of one line when the file cannot be read, is no safetensors file, is not one of ours, or holds no such weights
 */
export function loadCheckpoint(path: string, purpose: Purpose): Checkpoint {
  return readingInput(() =>
    withCheckpointFile(path, (source) => {
      const file = parse(path, source);
      const text = file.metadata[KEY];
      if (text === undefined) {
        throw new InputError(`${path}: no "${KEY}" in its metadata, want a checkpoint written by train or start`);
      }
      const header = parseHeader(path, text);
      const found = groupsOf(file);
      checkTensors(path, header, found, purpose);
      checkUse(path, header, purpose);
      const groups = new Map(
        groupsFor(purpose, header.settings).map((group) => [group, storedIn(path, group, found.get(group))]),
      );
      return {
        header,
        names: [...found.keys()],
        groups,
        tensors: (group, backend) => tensorsOf(groups.get(group), backend),
      };
    }),
  );
}

function parse(path: string, source: ByteSource): SafetensorsFile {
  try {
    return parseSafetensors(source);
  } catch (error) {
    throw new InputError(`${path}: ${error instanceof Error ? error.message : error}`);
  }
}

function checkTensors(path: string, { settings }: CheckpointHeader, groups: Groups, purpose: Purpose): void {
  const wanted = groupsFor(purpose, settings);
  const missing = wanted.find((group) => !groups.has(group));
  if (missing) throw new InputError(`${path}: no tensors named ${missing}.…, want ${wanted.join(", ")}`);
  const all = groupsFor("resume", settings);
  const other = [...groups.keys()].find((group) => !all.includes(group));
  if (other !== undefined) throw new InputError(`${path}: tensors named ${other}.…, want ${all.join(", ")}`);
  for (const [group, tensors] of groups) {
    for (const [name, { dtype }] of tensors) {
      if (!FLOATS.includes(dtype))
        throw new InputError(`${path}: ${group}.${name} ${dtype}, want ${FLOATS.join(" or ")}`);
    }
  }
  const shapesOf = (tensors: ReadonlyMap<string, SafetensorsTensor>) =>
    new Map([...tensors].map(([name, { shape }]) => [name, shape]));
  checkShapes(path, settings, new Map([...groups].map(([group, tensors]) => [group, shapesOf(tensors)])));
}

/** Reads a group's elements. @throws InputError when one is not finite */
function storedIn(
  path: string,
  group: string,
  tensors: ReadonlyMap<string, SafetensorsTensor> = new Map(),
): Map<string, Stored> {
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const data = tensor.data as Float32Array; // read here and now, once; checkTensors let floats through alone
      const at = data.findIndex((value) => !Number.isFinite(value));
      if (at >= 0) throw new InputError(`${path}: ${group}.${name} ${data[at]} at ${at}, want finite numbers`);
      return [name, { shape: tensor.shape, data }];
    }),
  );
}

function tensorsOf(group: ReadonlyMap<string, Stored> = new Map(), backend: Backend): Map<string, Tensor> {
  return new Map([...group].map(([name, { data, shape }]) => [name, tensor(data, { backend, shape })]));
}

/** What the commands need of a network: grey or coloured images of its size, and the labels of the data. */
function checkUse(path: string, { settings, image }: CheckpointHeader, purpose: Purpose): void {
  const { inChannels, outChannels = inChannels, classes } = settings.model;
  const isDrawing = purpose === "draw" || purpose === "drawPostHoc";
  if (inChannels !== 1 && inChannels !== 3) throw wrong(path, "settings.model.inChannels", inChannels, "1 or 3");
  if (outChannels !== inChannels)
    throw wrong(path, "settings.model.outChannels", outChannels, `${inChannels} as inChannels`);
  if (!isDrawing && classes !== undefined && classes !== MNIST_LABELS) {
    throw wrong(path, "settings.model.classes", classes, `${MNIST_LABELS} as in the data`);
  }
  const misfit = networkOf(settings).misfit(settings.model, image);
  if (misfit) {
    const given = (settings.model as unknown as Readonly<Record<string, unknown>>)[misfit.field]; // told by its name
    throw wrong(path, `settings.model.${misfit.field}`, given, misfit.wanted);
  }
  try {
    scheduleOf(settings);
  } catch (error) {
    throw new InputError(`${path}: settings.schedule: ${(error as Error).message}`);
  }
}

type Groups = Map<string, Map<string, SafetensorsTensor>>;

/** The tensors of a file by what stands before the first dot of their names. */
function groupsOf({ tensors }: SafetensorsFile): Groups {
  const groups: Groups = new Map();
  for (const [name, value] of tensors) {
    const dot = name.indexOf(".");
    const [group, rest] = dot < 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot + 1)];
    groups.set(group, (groups.get(group) ?? new Map<string, SafetensorsTensor>()).set(rest, value));
  }
  return groups;
}
