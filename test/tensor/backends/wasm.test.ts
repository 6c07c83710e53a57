// The WebAssembly backend beyond what ops.test.ts derives: operands larger than a block, threads, memory, fallbacks.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import { adamW, parameters, unet } from "@pkg/nn";
import {
  type Backend,
  concat,
  DeviceLostError,
  OutOfMemoryError,
  randomStream,
  tensor,
  tidy,
  type WasmBackend,
  type WasmOptions,
  wasm,
  zeros,
} from "@pkg/tensor";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { loadKernels } from "../../../packages/tensor/src/backends/wasm/binary.ts";
import { inOrder } from "../../../packages/tensor/src/backends/wasm/parameters.ts";
import { CONTROL } from "../../../packages/tensor/src/backends/wasm/serve.ts";
import { Threads } from "../../../packages/tensor/src/backends/wasm/threads.ts";
import { startWorkers } from "../../../packages/tensor/src/backends/wasm/workers.ts";
import { bundled, temporaryDirectory } from "../../cli/bundled.ts";
import { exact } from "../ops/checkCase.ts";
import { LARGE } from "../ops/derive/largeCases.ts";
import { compare, drawInputs, place, runOp } from "../ops/derived.ts";

describe.each(LARGE.map((one, index) => ({ ...one, index })))("$name", ({ op, given, index }) => {
  const drawn = drawInputs(given, index + 1);
  const run = (backend: Backend) => runOp(op, place(drawn, backend), given.attrs, backend);

  test("agrees with the reference", async () => {
    const backend = await opened({ poison: true, threads: 2 });
    const reference = run(exact);
    const absolute = drawn.map(({ input, values }) => ({ input, values: values.map(Math.abs) }));
    const magnitudes = op.tolerance.terms && runOp(op, place(absolute, exact), given.attrs, exact);
    const shapes = drawn.map(({ input }) => input.shape);
    for (const [k, output] of run(backend).entries()) {
      const { relative, message } = await compare(op.tolerance, output, reference[k], magnitudes?.[k], shapes);
      expect(relative, message).toBeLessThanOrEqual(1);
    }
    expect([...backend.fallbacks()]).toEqual([]);
  });

  test("has the same bits on one thread, on two and on five", async () => {
    const [one, ...others] = await Promise.all(
      [1, 2, 5].map(async (threads) => {
        const outputs = run(await opened({ threads }));
        return Promise.all(outputs.map((output) => output.data()));
      }),
    );
    for (const other of others) expect(other).toEqual(one);
  });
});

describe("memory", () => {
  test("in use is the same after many steps as after one", async () => {
    const backend = await opened();
    const x = tensor(Float32Array.from({ length: 6000 }, Math.sin), { backend, shape: [60, 100] });
    const w = tensor(Float32Array.from({ length: 6000 }, Math.cos), { backend, shape: [100, 60] });
    const step = () => tidy(() => w.assign(w.sub(x.matmul(w).silu().matmul(x).transpose().mul(1e-6))));
    step();
    const { buffers, bytes, reservedBytes } = backend.memory();
    for (let k = 0; k < 50; k++) step();
    expect(backend.memory()).toMatchObject({ buffers, bytes, reservedBytes });
    x.dispose();
    w.dispose();
    expect(backend.memory()).toMatchObject({ buffers: 0, bytes: 0 });
  });

  test("beyond the budget is refused, naming what is asked for, in use and allowed; what was there stays", async () => {
    const backend = await opened({ budget: 2 ** 20 });
    const kept = tensor(
      Float32Array.from({ length: 100_000 }, (_, k) => k),
      { backend },
    );
    const tooMuch = () => zeros([200_000], { backend }).contiguous();
    expect(tooMuch).toThrow(OutOfMemoryError);
    expect(tooMuch).toThrow("copy: 800000 bytes asked for with 400");
    expect(tooMuch).toThrow("of 1048576 in use");
    expect((await kept.data())[99_999]).toBe(99_999);
  });

  test("is joined again where small pieces would not hold a large one", async () => {
    const backend = await opened({ budget: 2 ** 20 });
    const piece = () => tensor(new Float32Array(10_000).fill(1), { backend });
    const pieces = Array.from({ length: 20 }, piece);
    for (const one of pieces) one.dispose();
    const whole = tensor(new Float32Array(200_000).fill(2), { backend });
    const [total] = await whole.sum().data();
    expect(total).toBe(400_000);
    expect(backend.memory().reservedBytes).toBeLessThanOrEqual(2 ** 20);
  });

  test("grows while tensors live", async () => {
    const backend = await opened();
    const small = tensor([1, 2, 3], { backend });
    const large = zeros([20_000_000], { backend }).contiguous();
    expect(await concat([small, large.slice([0, 2])]).array()).toEqual([1, 2, 3, 0, 0]);
    expect(backend.memory().bytes).toBeGreaterThan(8e7);
  });
});

describe("the arguments of a kernel", () => {
  test("are named as its function's parameters are, which are known of every kernel", async () => {
    const { module } = await loadKernels({ fused: false, shared: false });
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    const kernels = Object.entries(exports as Record<string, () => void>).filter(([name]) => name !== "useScratch");
    expect(kernels.length).toBeGreaterThan(80);
    for (const [name, { length }] of kernels) {
      expect(() => inOrder(name, {})).toThrow(
        new RegExp(`^wasm: arguments none for ${name}, want \\w+(, \\w+){${length - 3}}$`),
      );
    }
  });

  test("are passed in the order of the parameters; an undefined one counts as none", () => {
    expect(inOrder("ema", { weight: 3, average: 1, step: undefined, value: 2 })).toEqual([1, 2, 3]);
  });

  test("are refused where one is missing or unknown, as is an unknown kernel", () => {
    const message = (given: string) => `wasm: arguments ${given} for ema, want average, value, weight`;
    expect(() => inOrder("ema", { average: 1, value: 2 })).toThrow(message("average, value"));
    expect(() => inOrder("ema", { average: 1, value: 2, wait: 3 })).toThrow(message("average, value, wait"));
    const all = { average: 1, value: 2, weight: 3 };
    expect(() => inOrder("ema", { ...all, rate: 4 })).toThrow(message("average, value, weight, rate"));
    expect(() => inOrder("emo", all)).toThrow("wasm: no kernel emo, want one of conv, conv_weight, fill_f32, ");
  });
});

test("fallbacks counts the runs of ops that have no kernel", async () => {
  const backend = await opened();
  const x = tensor([1, 2, 3], { backend, dtype: "int32" });
  expect(await x.add(x).add(x).array()).toEqual([3, 6, 9]);
  expect([...backend.fallbacks()]).toEqual([["add", 2]]);
});

test("a U-Net trains without a fallback", async () => {
  const backend = await opened();
  const rng = randomStream(1);
  const model = unet({ inChannels: 1, channels: 8, multipliers: [1, 2], blocks: 1, dropout: 0.1 }, { backend, rng });
  const optimizer = adamW(parameters(model), { lr: 1e-3, clipNorm: 1 });
  const x = rng.normal([2, 8, 8, 1], { backend });
  const loss = () => model.forward(x, [1, 500], { rng }).sub(x).square().mean();
  expect(await optimizer.minimize(loss).item()).toBeGreaterThan(await optimizer.minimize(loss).item());
  expect([...backend.fallbacks()]).toEqual([]);
});

test("a deterministic product rounds each product and each sum, in the order of the terms", async () => {
  const backend = await opened({ deterministic: true });
  expect(backend.name).toBe("wasm: 2 threads, simd");
  const [a, b] = [Math.sin, Math.cos].map((f) => Float32Array.from({ length: 200 }, (_, k) => f(k * k)));
  let sum = 0;
  for (let k = 0; k < 200; k++) sum = Math.fround(sum + Math.fround(a[k] * b[k]));
  const product = tensor(a, { backend, shape: [1, 200] }).matmul(tensor(b, { backend, shape: [200, 1] }));
  expect(await product.item()).toBe(sum);
});

describe("without SharedArrayBuffer", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("it runs on one thread, with the same bits", async () => {
    const values = Float32Array.from({ length: 64 * 300 }, Math.sin);
    const product = async (backend: Backend) => {
      const x = tensor(values, { backend, shape: [300, 64] });
      return x.matmul(x.transpose()).silu().data();
    };
    const threaded = await product(await opened());
    vi.stubGlobal("SharedArrayBuffer", undefined);
    const backend = await opened({ threads: 4 });
    expect(backend.name).toMatch(/^wasm: 1 thread, /);
    expect(await product(backend)).toEqual(threaded);
  });
});

describe("a worker that others end", () => {
  test("makes every op a DeviceLostError; what there was can be read, and a new backend works", async () => {
    const creation = once(process, "worker") as Promise<[Worker]>; // as Node declares that event
    const backend = await opened();
    const x = tensor([1, 2, 3], { backend });
    const [worker] = await creation;
    await worker.terminate();
    const message = "wasm: a worker thread has ended, want a new backend; what this one holds can still be read";
    for (let k = 0; k < 2; k++) expect(() => x.add(x)).toThrow(new DeviceLostError(message));
    const y = tensor(await x.data(), { backend: await opened() });
    expect(await y.add(y).array()).toEqual([2, 4, 6]);
  });

  test("ends the wait of a thread that waits for it", async () => {
    const [zeroed, pages] = [2 ** 21, 64];
    const { module } = await loadKernels({ fused: false, shared: true });
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const placement = { module, memory, scratch: [2 ** 17, 2 ** 20] };
    const { workers } = await startWorkers(placement);
    const threads = new Threads(placement, workers);
    const task = { kernel: "zero", rows: 2 ** 17, grain: 1024, args: [zeroed] };
    threads.run(task);
    // A worker that is ended at work stays counted. This thread, which would wait for it meanwhile, cannot end it then.
    Atomics.add(new Int32Array(memory.buffer), CONTROL.active, 1);
    workers[0].terminate();
    for (let k = 0; k < 2; k++) {
      expect(() => threads.run(task)).toThrow("wasm: a worker thread has ended in kernel zero, want a new backend");
    }
  });

  test("ends the wait after a limit where nobody can tell, as in browsers and Deno", async () => {
    const { module } = await loadKernels({ fused: false, shared: true });
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
    const placement = { module, memory, scratch: [2 ** 17, 2 ** 20] };
    const { workers } = await startWorkers(placement);
    onTestFinished(() => workers[0].terminate());
    const threads = new Threads(placement, workers, 50);
    const task = { kernel: "zero", rows: 2 ** 17, grain: 1024, args: [2 ** 21] };
    threads.run(task);
    Atomics.add(new Int32Array(memory.buffer), CONTROL.active, 1); // as one that is ended at work leaves it
    for (let k = 0; k < 2; k++) {
      expect(() => threads.run(task)).toThrow(
        new DeviceLostError(
          "wasm: a worker thread did not end kernel zero within 0.05 s, want a new backend; what this one holds can still be read",
        ),
      );
    }
  });
});

test("a backend that is disposed computes nothing", async () => {
  for (const threads of [1, 2]) {
    const backend = await wasm({ threads });
    const x = zeros([3], { backend });
    backend.dispose();
    expect(() => x.add(1)).toThrow(new DeviceLostError("wasm: the backend is disposed, want a new backend"));
  }
});

test.each([{ threads: 0 }, { threads: 1.5 }, { budget: 0 }])("options %o are refused", async (options) => {
  await expect(wasm(options)).rejects.toThrow(/^wasm: .* want /);
});

test("a process that used it ends by itself", async () => {
  const code = `
    import { tensor, wasm } from "@pkg/tensor";
    const backend = await wasm({ threads: 2 });
    const x = tensor(new Float32Array(2 ** 20).fill(1), { backend, shape: [1024, 1024] });
    console.log(await x.matmul(x).sum().item());
  `;
  const script = await bundled(code, temporaryDirectory());
  const { stdout, status } = spawnSync(process.execPath, [script], { encoding: "utf8", timeout: 20_000 });
  expect({ stdout, status }).toEqual({ stdout: `${2 ** 30}\n`, status: 0 });
});

/** A backend that is gone when the test ends. */
async function opened(options: WasmOptions = { threads: 2 }): Promise<WasmBackend> {
  const backend = await wasm(options);
  onTestFinished(() => backend.dispose());
  return backend;
}
