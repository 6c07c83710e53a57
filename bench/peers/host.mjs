// `node host.mjs LIBRARY DEVICE` solves the bench's problems with a library, as the lines on its standard input ask.
// Each line is a JSON request, each answer a JSON line: see bench/peer.ts, which holds the other end.
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [library, device] = process.argv.slice(2);
const answer = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr); // libraries talk

const requests = {
  /** Draws nothing: the inputs' float32 values lie in files. */
  prepare: async ({ problem, inputs, folder }) => {
    const tensors = inputs.map(({ file, shape }) => {
      const { buffer, byteOffset, byteLength } = readFileSync(file);
      return { shape, data: new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength)) };
    });
    const make = peer.problems[problem.kind];
    if (!make) return { cannot: "has no such operation" };
    solution = await make(problem, tensors);
    const outputs = await solution.outputs();
    return {
      outputs: outputs.map((values, k) => {
        const file = `${folder}/output${k}`;
        writeFileSync(file, Float32Array.from(values));
        return file;
      }),
    };
  },
  time: async ({ repeats }) => {
    const began = performance.now();
    for (let k = 0; k < repeats; k++) await solution.run();
    await solution.settled();
    return { ms: (performance.now() - began) / repeats };
  },
  release: async () => {
    await solution?.dispose();
    solution = undefined;
    return {};
  },
};

let solution;
let peer;
try {
  const { open } = await import(`./${library}.mjs`);
  peer = await open(device);
  reply({ ready: peer.description });
} catch (error) {
  reply({ cannot: reason(error) });
  process.exit(0);
}
for await (const line of createInterface({ input: process.stdin })) {
  const { request, ...rest } = JSON.parse(line);
  try {
    reply(await requests[request](rest));
  } catch (error) {
    reply({ cannot: reason(error) });
  }
}
process.exit(0); // Dawn keeps a process alive

function reply(message) {
  answer(`${JSON.stringify(message)}\n`);
}

function reason(error) {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0];
}
