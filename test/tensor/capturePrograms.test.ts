// Random programs in captured steps: the bits of plain runs, and nothing left behind.
import { type Backend, capture, randomStream, type Tensor, tensor, tidy, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";
import { heldBy, stillHeld } from "../setup/heldTensors.ts";
import { plainly } from "../setup/plainly.ts";
import { repetitions } from "../setup/repetitions.ts";
import { failing, openWorld, STATEMENTS, type Statement } from "./captureStatements.ts";

const STEPS = 10;
/**
 * Not in programs of which some steps fail: a plain step makes an overwrite final that is read before the failure, and leaves what it
 * kept readable.
 */
const FINAL = new Set(["average", "adam", "minimize", "keep"]);

interface Program {
  readonly inside: readonly Statement[];
  /** What happens after each step. */
  readonly between: readonly Statement[];
  /** What it is made of, in order. */
  readonly names: readonly string[];
}

function programOf(seed: number): Program {
  const stream = randomStream(seed);
  const choose = (n: number) => Math.floor(stream.next() * n);
  const isFailing = choose(4) === 0;
  const all = Object.keys(STATEMENTS).filter((name) => !isFailing || !FINAL.has(name));
  const flat = all.filter((name) => name !== "branch" && name !== "tidied");
  const names: string[] = [];
  let depth = 0;
  const statements = (n: number): Statement[] =>
    Array.from({ length: n }, () => {
      const among = depth > 1 ? flat : all;
      const name = among[choose(among.length)];
      names.push(name);
      depth++;
      const statement = STATEMENTS[name](choose, statements);
      depth--;
      return statement;
    });
  const inside = statements(3 + choose(18));
  if (isFailing) inside.splice(choose(inside.length), 0, failing(choose));
  return { inside, between: choose(2) ? statements(choose(3)) : [], names };
}

/** What a program computes, as bits, and what it leaves. */
async function outcomeOf(backend: Backend, { inside, between }: Program, seed: number) {
  const before = heldBy(backend);
  const world = openWorld(backend, seed);
  const run = (statements: readonly Statement[], ...pool: readonly Tensor[]) => {
    world.pool = [...pool];
    for (const statement of statements) statement(world);
    return world.pool.slice(-3);
  };
  const step = capture((x: Tensor) => run(inside, x, x.mul(2)));
  const found: unknown[] = [];
  const note = (data: { readonly buffer: ArrayBufferLike }) => found.push([...new Uint32Array(data.buffer)]);
  const results: Tensor[] = [];
  for (world.k = 0; world.k < STEPS; world.k++) {
    const x = tidy(() => tensor([world.k, -1, 0.5, 1, 2, 3], { backend }).reshape([2, 3]));
    results.push(x);
    const reads = world.reads.length;
    try {
      results.push(...step(x));
    } catch (error) {
      found.push(String(error));
      await Promise.allSettled(world.reads.splice(reads)); // of a step that failed
    }
    if (seed % 2 === 0) for (const one of [...results.slice(-3), ...world.outer]) note(await one.data());
    tidy(() => void run(between));
  }
  for (const one of [...results, ...world.outer, ...world.kept]) if (!one.disposed) note(await one.data());
  for (const read of await Promise.all(world.reads)) note(read);
  for (const one of results) one.dispose();
  step.dispose();
  world.dispose();
  return { found, hasLeft: JSON.stringify(stillHeld(backend)) !== JSON.stringify(before) };
}

describe.skipIf(!gpuAvailable)("on webgpu", () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await webgpu();
  });
  afterAll(() => backend.dispose());

  test("random programs have the bits of plain ones, and leave nothing behind", async () => {
    for (let seed = 0; seed < repetitions("captured programs"); seed++) {
      const program = programOf(seed);
      const wanted = await plainly(backend, () => outcomeOf(backend, program, seed));
      const found = await outcomeOf(backend, program, seed);
      expect(found, `program ${seed}: ${program.names.join(", ")}`).toEqual(wanted);
      expect(found.hasLeft, `program ${seed}: ${program.names.join(", ")}`).toBe(false);
    }
  });
});
