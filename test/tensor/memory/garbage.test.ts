// What programs leave lying: loops without tidy run in little memory, and readings give the event loop its turns.
import { finalSample, heun, karras, sample, sigmaPath } from "@pkg/diffusion";
import {
  type Backend,
  capture,
  liveTensors,
  OutOfMemoryError,
  ones,
  randomStream,
  type Tensor,
  tensor,
  tidy,
  vjp,
  wasm,
} from "@pkg/tensor";
import { afterEach, describe, expect, test, vi } from "vitest";
import { LOOPS } from "../../../bench/soakLoops.ts";
import { openers } from "../../setup/backends.ts";
import { collected } from "../../setup/failing.ts";

const MIB = 2 ** 20;

afterEach(() => void vi.restoreAllMocks());

describe.each(openers.filter(({ skip }) => !skip))("on $name", ({ open }) => {
  test("a loop without tidy, reading or turn runs as long as a few of its steps fit in", async () => {
    const backend = await open({ budget: 16 * MIB });
    const step = LOOPS.arithmetic(backend);
    for (let k = 1; k <= 30; k++) step(k);
    expect(backend.memory().peakBytes).toBeLessThanOrEqual(16 * MIB);
    backend.dispose();
  });

  test("and so does one that trains on batches made in it", async () => {
    const backend = await open({ budget: 14 * MIB });
    const step = LOOPS.training(backend);
    for (let k = 1; k <= 8; k++) await step(k);
    backend.dispose();
  });

  test("with memory enough it holds 64 MiB that nobody can reach, no more", async () => {
    await collected();
    const backend = await open();
    const step = LOOPS.arithmetic(backend);
    for (let k = 1; k <= 60; k++) step(k);
    expect(backend.memory().peakBytes).toBeLessThanOrEqual((64 + 4) * MIB);
    backend.dispose();
  });

  test("what is still reachable is never taken", async () => {
    const backend = await open({ budget: 8 * MIB });
    const held: Tensor[] = [];
    const fill = () => {
      for (let k = 0; k < 16; k++) held.push(tensor(new Float32Array(MIB / 4).fill(k), { backend }));
    };
    expect(fill).toThrow(OutOfMemoryError);
    for (const [k, tensor] of held.entries()) expect((await tensor.data())[7]).toBe(k);
    backend.dispose();
  });

  test("a captured step gets its memory from garbage too", async () => {
    const backend = await open({ budget: 16 * MIB });
    const x = ones([MIB / 4], { backend }).contiguous();
    const step = capture((y: Tensor) => y.mul(2).add(1).exp().sub(y));
    for (let k = 0; k < 20; k++) step(x);
    step.dispose();
    backend.dispose();
  });

  test("a pullback made outside of any tidy gives back what it saved when nobody can call it", async () => {
    await collected();
    const backend = await open();
    const x = tidy(() => ones([1000], { backend }).contiguous());
    const before = { live: liveTensors(), bytes: backend.memory().bytes };
    (() => {
      for (let k = 0; k < 10; k++) vjp((a) => a.exp().square().exp(), [x]);
    })();
    await collected();
    expect({ live: liveTensors(), bytes: backend.memory().bytes }).toEqual(before);
    backend.dispose();
  });
});

describe.each(openers.filter(({ name }) => name !== "webgpu"))("on $name, where the host computes,", ({ open }) => {
  /** Turns of the event loop during `f`, with a clock that goes on by so many milliseconds whenever it is looked at. */
  async function turnsIn(f: () => Promise<unknown>, milliseconds: number): Promise<number> {
    let [now, turns] = [performance.now() + 1000, 0];
    const clock = vi.spyOn(performance, "now").mockImplementation(() => {
      now += milliseconds;
      return now;
    });
    const count = () => {
      turns++;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    await f();
    clearImmediate(next);
    clock.mockRestore();
    return turns;
  }

  const readings: { name: string; read: (backend: Backend) => Promise<unknown> }[] = [
    { name: "item", read: (backend) => tidy(() => ones([1], { backend })).item() },
    { name: "data", read: (backend) => tidy(() => ones([4], { backend })).data() },
    { name: "array", read: (backend) => tidy(() => ones([2, 2], { backend })).array() },
    { name: "settled", read: (backend) => backend.settled() },
  ];
  test.each(readings)(
    "each $name gives the event loop a turn when a frame has gone by, and none before",
    async ({ read }) => {
      const backend = await open();
      const many = async () => {
        for (let k = 0; k < 100; k++) await read(backend);
      };
      await many();
      expect(await turnsIn(many, 17)).toBeGreaterThanOrEqual(100);
      expect(await turnsIn(many, 0.01)).toBeLessThanOrEqual(1);
      backend.dispose();
    },
  );

  test("each step of a sampler does", async () => {
    const backend = await open();
    const model = { forward: (x: Tensor) => x.mul(0.5) };
    const draw = () => finalSample(sample(heun(sigmaPath(karras(20))), model, [1, 2], randomStream(0), { backend }));
    expect(await turnsIn(draw, 17)).toBeGreaterThanOrEqual(20);
    backend.dispose();
  });
});

test("what WebAssembly cannot address is refused, and what it does not hold is told with what can be done", async () => {
  await expect(wasm({ budget: 5e9 })).rejects.toThrow(
    "wasm: budget is 5000000000 bytes, want a positive number of at most 4294967296",
  );
  await expect(wasm({ budget: Number.POSITIVE_INFINITY })).rejects.toThrow(
    "want a positive number of at most 4294967296",
  );
  const [small, all] = [await wasm({ threads: 1, budget: MIB }), await wasm({ threads: 1 })];
  const ask = (backend: Backend, size: number) => () => tidy(() => void ones([size], { backend }).contiguous());
  expect(ask(small, MIB)).toThrow(
    /want at most \d+ in one piece \(a smaller batch, tidy, or .*, or a larger budget, of at most 42\d{8}\)/,
  );
  expect(ask(all, 2 ** 30)).toThrow(/\(a smaller batch, tidy, or .*; WebAssembly has no more memory\)/);
  for (const backend of [small, all]) backend.dispose();
});
