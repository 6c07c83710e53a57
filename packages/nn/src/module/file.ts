// A module's state as a safetensors file, or as the bytes of one. Checkpoints of whole runs belong to the commands.

import {
  type DType,
  fileSource,
  parseSafetensors,
  type SafetensorsTensor,
  safetensorsParts,
  serializeSafetensors,
  type Tensor,
  tensor,
  tidy,
  wrongArgument,
} from "@pkg/tensor";
import { assignState, checkShapes, stateDict } from "./module.ts";

/** The parts of Node that are used. */
interface NodeProcess {
  getBuiltinModule?(name: "node:fs"): {
    statSync(path: string, options: { throwIfNoEntry: false }): { isFile(): boolean } | undefined;
    lstatSync(path: string, options: { throwIfNoEntry: false }): { isFile(): boolean } | undefined;
    realpathSync(path: string): string;
    openSync(path: string, flags: "wx"): number;
    writeSync(file: number, bytes: Uint8Array, offset: number, length: number): number;
    fsyncSync(file: number): void;
    closeSync(file: number): void;
    renameSync(from: string, to: string): void;
    rmSync(path: string, options: { force: true }): void;
  };
}

const DTYPES = { float32: "F32", int32: "I32", uint32: "U32", bool: "BOOL" } as const satisfies Record<DType, string>;
/** Whether a type holds an integer without change. */
const HOLDS: Readonly<Record<DType, (value: number) => boolean>> = {
  float32: () => true,
  int32: (value) => value === (value | 0),
  uint32: (value) => value === value >>> 0,
  bool: (value) => value === 0 || value === 1,
};
/** Node writes less than 2 GiB at once. */
const MOST = 2 ** 30;

/**
 * Writes a module's state (parameters, frozen tensors, buffers) as a safetensors file. Other libraries read it under the same
 * names. At every moment the path holds the old file or the new one, whole. A link is kept: the file it leads to is replaced.
 * It needs Node, Deno or Bun; elsewhere `stateBytes` gives the bytes.
 * @param metadata texts to store in the file
 * @throws Error when the file cannot be written, or the path is a folder, pipe or device; what is there stays
 */
export async function save(module: object, path: string, metadata?: Readonly<Record<string, string>>): Promise<void> {
  if (typeof path !== "string") throw wrongArgument("save", "path", path, "the path of a file");
  const fs = (globalThis as { process?: NodeProcess }).process?.getBuiltinModule?.("node:fs");
  if (!fs) throw new Error("save: no file system, want Node, Deno or Bun (stateBytes needs none)");
  const parts = safetensorsParts(await storedState(module), metadata);
  let temporary: string | undefined;
  try {
    const found = fs.statSync(path, { throwIfNoEntry: false }) ?? fs.lstatSync(path, { throwIfNoEntry: false });
    if (found && !found.isFile()) throw new Error("it is not a file");
    const target = found ? fs.realpathSync(path) : path;
    const beside = `${target}.unfinished-${Math.random().toString(36).slice(2)}`;
    const file = fs.openSync(beside, "wx"); // an existing file is never overwritten
    temporary = beside;
    try {
      for (const part of parts) {
        for (let at = 0; at < part.length; ) at += fs.writeSync(file, part, at, Math.min(part.length - at, MOST));
      }
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
    fs.renameSync(temporary, target);
  } catch (error) {
    if (temporary !== undefined) fs.rmSync(temporary, { force: true });
    throw new Error(`save: ${path} stays as it was: ${(error as Error).message}`, { cause: error });
  }
}

/** The bytes of the file that `save` writes, such as for a download. */
export async function stateBytes(module: object, metadata?: Readonly<Record<string, string>>): Promise<Uint8Array> {
  return serializeSafetensors(await storedState(module), metadata);
}

/**
 * Gives a module the state in a safetensors file of the same names and shapes, from any float type.
 * @param source the path of a file of any size (Node, Deno, Bun), or the bytes of a file
 * @returns the file's metadata
 * @throws ShapeError listing every missing, extra and misshapen entry, Error for a file that cannot be read; the module is
 * unchanged then
 */
export async function load(module: object, source: string | Uint8Array): Promise<Record<string, string>> {
  if (typeof source !== "string" && !(source instanceof Uint8Array)) {
    throw wrongArgument("load", "source", source, "the path of a file, or its bytes");
  }
  const own = stateDict(module);
  const { tensors, metadata } = parseSafetensors(typeof source === "string" ? fileSource(source) : source);
  checkShapes(own, tensors);
  tidy(() => {
    const found = [...own].map(([path, target]) => [path, read(path, tensors.get(path)!, target)] as const);
    assignState(own, new Map(found));
  });
  return metadata;
}

/** The state of a module at this moment, also if its tensors are assigned while it is read. */
async function storedState(module: object): Promise<Map<string, SafetensorsTensor>> {
  const held = [...stateDict(module)].map(([path, own]) => [path, own.detach()] as const);
  try {
    const entries = held.map(async ([path, { shape, dtype }], k): Promise<[string, SafetensorsTensor]> => {
      const data = await held[k][1].data();
      if (data instanceof Float64Array) return [path, { dtype: "F64", shape, data }];
      const stored = dtype === "bool" ? Uint8Array.from(data) : data;
      return [path, { dtype: DTYPES[dtype], shape, data: stored } as SafetensorsTensor]; // a type's data are of its class
    });
    return new Map(await Promise.all(entries));
  } finally {
    for (const [, tensor] of held) tensor.dispose();
  }
}

function read(path: string, { dtype, shape, data }: SafetensorsTensor, target: Tensor): Tensor {
  const isFloat = /^(F|BF)\d/.test(dtype);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array || isFloat !== (target.dtype === "float32")) {
    throw new Error(`load: ${path} is ${dtype} in the file, want ${target.dtype}`);
  }
  const other = isFloat ? undefined : data.find((value) => !HOLDS[target.dtype](value));
  if (other !== undefined) throw new Error(`load: ${path} holds ${other} in the file, want ${target.dtype}`);
  const values = data instanceof Float64Array || data instanceof Float32Array ? data : Int32Array.from(data);
  return tensor(target.dtype === "uint32" ? Uint32Array.from(data) : values, {
    backend: target.backend,
    shape,
    dtype: target.dtype,
  });
}
