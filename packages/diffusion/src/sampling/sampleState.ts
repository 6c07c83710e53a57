// The state of a sampling run as bytes, so that another process can go on with it, bit for bit. Not of the model or the sampler.

import {
  type Backend,
  parseSafetensors,
  type RandomState,
  type RandomStream,
  type SafetensorsTensor,
  serializeSafetensors,
  type Tensor,
  tensor,
} from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import type { SamplerState } from "./sampler.ts";

/** What is not a tensor. */
interface Header {
  readonly format: 1;
  readonly step: number;
  readonly memory: number;
  readonly rng: RandomState;
}

const KEY = "tweedie.sampling";

/**
 * A safetensors file of a state that `sample` yielded and of where its stream stands: call it before asking for the next step.
 */
export async function serializeSampleState(state: SamplerState, rng: Pick<RandomStream, "state">): Promise<Uint8Array> {
  expectArguments("serializeSampleState", { state });
  const { step, x, memory } = state;
  expectArguments("serializeSampleState", { x });
  expectKind("serializeSampleState", "savedStream", rng, "rng");
  const header: Header = { format: 1, step, memory: memory.length, rng: rng.state() }; // read now: below it waits
  const named = [["x", x] as const, ...memory.map((kept, k) => [`memory.${k}`, kept] as const)];
  const stored = named.map(async ([name, value]) => [name, await storedTensor(value)] as const);
  return serializeSafetensors(new Map(await Promise.all(stored)), { [KEY]: JSON.stringify(header) });
}

/**
 * The state, to be given to `sample` as `from`, and that of the stream, to be given to `restore` of one of its kind.
 * @throws Error when the bytes are no such file
 */
export function parseSampleState(bytes: Uint8Array, backend: Backend): { state: SamplerState; rng: RandomState } {
  expectArguments("parseSampleState", { bytes, backend });
  const { tensors, metadata } = parseSafetensors(bytes);
  const { step, memory, rng } = headerOf(metadata[KEY]);
  const read = (name: string): Tensor => {
    const stored = tensors.get(name);
    if (!stored) throw new Error(`parseSampleState: no tensor "${name}", want a file of serializeSampleState`);
    return readTensor(name, stored, backend);
  };
  return { state: { step, x: read("x"), memory: Array.from({ length: memory }, (_, k) => read(`memory.${k}`)) }, rng };
}

/** In the type that holds every bit: F64 where the backend computes in float64. */
async function storedTensor(value: Tensor): Promise<SafetensorsTensor> {
  const [shape, data] = [value.shape, await value.data()];
  if (value.dtype === "bool") return { dtype: "BOOL", shape, data: Uint8Array.from(data) };
  if (data instanceof Float64Array) return { dtype: "F64", shape, data };
  if (data instanceof Int32Array) return { dtype: "I32", shape, data };
  if (data instanceof Uint32Array) return { dtype: "U32", shape, data };
  return { dtype: "F32", shape, data };
}

function readTensor(name: string, { dtype, shape, data }: SafetensorsTensor, backend: Backend): Tensor {
  if (dtype === "BOOL") return tensor(data, { backend, shape, dtype: "bool" });
  if (dtype === "F64" || dtype === "F32" || dtype === "I32" || dtype === "U32") return tensor(data, { backend, shape });
  throw new Error(`parseSampleState: tensor "${name}" is ${dtype}, want one of F64, F32, I32, U32, BOOL`);
}

function headerOf(text: string | undefined): Header {
  const wanted = "want a file of serializeSampleState";
  if (text === undefined) throw new Error(`parseSampleState: no "${KEY}" in its metadata, ${wanted}`);
  let header: Partial<Header>;
  try {
    header = JSON.parse(text) as Partial<Header>; // checked below
  } catch (error) {
    throw new Error(`parseSampleState: its metadata is not JSON, ${wanted}`, { cause: error });
  }
  if (header.format !== 1) throw new Error(`parseSampleState: format ${header.format}, want 1`);
  const isWhole = [header.step, header.memory].every((count) => Number.isSafeInteger(count) && Number(count) >= 0);
  if (!isWhole || typeof header.rng !== "object" || header.rng === null)
    throw new Error(`parseSampleState: its metadata lacks step, memory or rng, ${wanted}`);
  return header as Header; // all fields are there
}
