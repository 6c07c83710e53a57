// Makes a backend's allocations fail on purpose, and tells what a program could lose by that.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Backend, liveTensors, OutOfMemoryError, type Tensor } from "@pkg/tensor";

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
    f();
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    return true;
  } finally {
    backend.allocate = allocate;
  }
  if (asked >= n) throw new Error(`allocation ${n} failed, and nothing was thrown`);
  return false;
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
