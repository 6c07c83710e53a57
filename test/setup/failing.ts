// Makes a backend's allocations fail on purpose, and tells what a program could lose by that.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Backend, liveTensors, OutOfMemoryError, type Tensor, tensor } from "@pkg/tensor";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Runs `f` with every allocation from the n-th on (from 1) failing; tells whether any did, which `f` must not survive. */
export function failFrom(backend: Backend, n: number, f: () => void): boolean {
  const allocate = backend.allocate.bind(backend);
  let asked = 0;
  backend.allocate = (size, dtype, label) => {
    if (++asked >= n) throw new OutOfMemoryError(`${label}: allocation ${n} fails on purpose`);
    return allocate(size, dtype, label);
  };
  try {
    if (tells(OutOfMemoryError, f)) return true;
  } finally {
    backend.allocate = allocate;
  }
  if (asked >= n) throw new Error(`allocation ${n} failed, and nothing was thrown`);
  return false;
}

/** Whether `f` throws an error of a kind; others are passed on. */
export function tells(kind: new (message: string) => Error, f: () => void): boolean {
  try {
    f();
    return false;
  } catch (error) {
    if (!(error instanceof kind)) throw error;
    return true;
  }
}

/** Tensors of 256 bytes, as many as the backend's budget still holds. */
export function filled(backend: Backend): Tensor[] {
  const blocks: Tensor[] = [];
  const values = new Float32Array(64);
  while (!tells(OutOfMemoryError, () => void blocks.push(tensor(values, { backend }))));
  return blocks;
}

/** What is held on a backend, and the bits of tensors. */
export async function stateOf(backend: Backend, tensors: Iterable<Tensor>): Promise<unknown> {
  const { buffers, bytes } = backend.memory();
  const bits = [];
  for (const tensor of tensors) {
    const { buffer } = await tensor.data();
    bits.push(Buffer.from(buffer).toString("base64"));
  }
  return { live: liveTensors(), buffers, bytes, bits };
}

/** Waits until what earlier tests left behind is collected. */
export async function collected(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
