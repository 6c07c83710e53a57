// Kernels on two threads, again and again: whoever comes first, the bits are those of one thread.
import { type Backend, type Tensor, tidy, wasm } from "@pkg/tensor";
import { expect, onTestFinished, test } from "vitest";
import { repetitions } from "../../setup/repetitions.ts";
import { LARGE } from "../ops/derive/largeCases.ts";
import { drawInputs, place, runOp } from "../ops/derived.ts";

test("kernels that two threads share give the bits of one thread, every time", async () => {
  const [alone, shared] = [await opened(1), await opened(2)];
  const cases = LARGE.map(({ name, op, given }, index) => {
    const drawn = drawInputs(given, index + 1);
    const [here, there] = [alone, shared].map((backend) => place(drawn, backend));
    return {
      name,
      wanted: bitsOf(() => runOp(op, here, given.attrs, alone)),
      found: () => bitsOf(() => runOp(op, there, given.attrs, shared)),
    };
  });
  for (let k = 0; k < repetitions("kernels on two threads"); k++) {
    const { name, wanted, found } = cases[k % cases.length];
    const outputs = await found();
    for (const [output, bytes] of (await wanted).entries()) {
      expect(outputs[output].equals(bytes), `${name}, run ${k}, output ${output}`).toBe(true);
    }
  }
});

/** The outputs of an op as bytes. */
async function bitsOf(run: () => Tensor[]): Promise<Buffer[]> {
  const reading = tidy(() => ({ all: Promise.all(run().map((output) => output.data())) }));
  return (await reading.all).map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength));
}

async function opened(threads: number): Promise<Backend> {
  const backend = await wasm({ threads });
  onTestFinished(() => backend.dispose());
  return backend;
}
