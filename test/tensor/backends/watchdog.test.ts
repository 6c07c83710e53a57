// The watchdog of the WebGPU backend: on a queue and a clock of the test's, and on a device that takes its time.
import { DeviceLostError, DeviceStalledError, ones, tensor, webgpu } from "@pkg/tensor";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Watchdog } from "../../../packages/tensor/src/backends/webgpu/device/watchdog.ts";
import { defineOp, float32 } from "../../../packages/tensor/src/op.ts";
import { apply } from "../../../packages/tensor/src/tensor.ts";
import { gpuAvailable } from "../../setup/gpu.ts";

describe("on a clock of the test's", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  /** A queue whose answers the test gives, in order. */
  function queueOf() {
    const answers: (() => void)[] = [];
    return {
      answers,
      onSubmittedWorkDone: () => new Promise<undefined>((resolve) => answers.push(() => resolve(undefined))),
    };
  }
  const never = () => new Promise<void>(() => {});

  test("who waits is told after the limit, with the last ops of what the device is at", async () => {
    const watchdog = new Watchdog(queueOf(), "webgpu: x", 300);
    for (const ops of [["matmul", "add", "add", "sum"], ["relu"]]) {
      for (const op of ops) watchdog.note(op);
      watchdog.handOver();
    }
    const waits = [watchdog.watch(never()), watchdog.watch(never())].map((wait) => wait.catch((error) => error));
    await vi.advanceTimersByTimeAsync(299_000);
    expect(watchdog.isStalled).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(watchdog.isStalled).toBe(true);
    for (const error of await Promise.all(waits)) {
      expect(error).toBeInstanceOf(DeviceLostError);
      expect(error).toEqual(
        new DeviceStalledError(
          "webgpu: x: the device has ended nothing for 300 s; it is at the first of 2 command buffers, whose last ops are matmul, add, sum; want a longer timeout, smaller ops, or a new backend",
        ),
      );
    }
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a long queue that goes on is none that is stuck", async () => {
    const queue = queueOf();
    const watchdog = new Watchdog(queue, "webgpu: x", 300);
    for (let k = 0; k < 40; k++) {
      watchdog.note(`op${k}`);
      watchdog.handOver();
    }
    expect(queue.answers).toHaveLength(10);
    let error: Error | undefined;
    watchdog.watch(never()).catch((thrown) => {
      error = thrown;
    });
    for (const answer of queue.answers.slice(0, 9)) {
      await vi.advanceTimersByTimeAsync(250_000);
      answer();
    }
    await vi.advanceTimersByTimeAsync(250_000);
    expect(error).toBeUndefined();
    await vi.advanceTimersByTimeAsync(50_000);
    expect(error?.message).toContain("at the first of 4 command buffers, whose last ops are op36;");
  });

  test("it is over once the device goes on, and waiting begins anew", async () => {
    const watchdog = new Watchdog(queueOf(), "webgpu: x", 10);
    watchdog.handOver();
    let finish = () => {};
    const first = watchdog.watch(new Promise<void>((resolve) => (finish = resolve))).catch((error) => error);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await first).toBeInstanceOf(DeviceStalledError);
    finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(watchdog.isStalled).toBe(false);
    await expect(watchdog.watch(Promise.resolve(7))).resolves.toBe(7);
    await expect(watchdog.watch(Promise.reject(new Error("gone")))).rejects.toThrow("gone");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("time in which nobody waits does not count, nor a limit of Infinity", async () => {
    const watchdog = new Watchdog(queueOf(), "webgpu: x", 10);
    watchdog.handOver();
    await vi.advanceTimersByTimeAsync(60_000);
    let isTold = false;
    watchdog.watch(never()).catch(() => {
      isTold = true;
    });
    await vi.advanceTimersByTimeAsync(9000);
    expect(isTold).toBe(false);
    const patient = new Watchdog(queueOf(), "webgpu: x", Number.POSITIVE_INFINITY);
    void patient.watch(never());
    await vi.advanceTimersByTimeAsync(1e7);
    expect(patient.isStalled).toBe(false);
  });
});

test.each([0, -1, Number.NaN])("a timeout of %d s is refused", async (timeout) => {
  await expect(webgpu({ timeout })).rejects.toThrow(`webgpu: timeout is ${timeout} s, want a positive number`);
});

describe.skipIf(!gpuAvailable)("on the device", () => {
  /** About half a second and more on any device: 2²⁶ turns, each of which needs the one before. */
  const slow = defineOp({
    name: "slow",
    infer: ([x]) => [float32(x.shape)],
    cpu: () => {},
    webgpu: {
      calls: ({ inputs: [x], outputs: [out] }) => [
        {
          kernel: `@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn main() {
  var state = u32(x[0]);
  for (var k = 0u; k < 67108864u; k++) { state ^= state << 13u; state ^= state >> 17u; state ^= state << 5u; }
  out[0] = f32(state & 0xffffu);
}`,
          bindings: [x, out],
          grid: { threads: 1 },
        },
      ],
    },
    wasm: null,
    cases: [{ inputs: [[1]] }],
    tolerance: {},
  });
  const wanted = () => {
    let state = 1;
    for (let k = 0; k < 2 ** 26; k++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
    }
    return state & 0xffff;
  };

  test("who waits longer than the timeout is told which ops run; what is asked for again comes, and all goes on", async () => {
    const backend = await webgpu({ timeout: 0.02 });
    const x = tensor([1], { backend });
    const y = apply(slow, [x.sqrt()], undefined, backend)[0];
    const buffers = backend.counters().buffers;
    const reading = y.data();
    await expect(reading).rejects.toThrow(DeviceStalledError);
    await expect(reading).rejects.toThrow(/has ended nothing for 0\.02 s; .* whose last ops are sqrt, slow; want /);
    const asOftenAsNeeded = (): Promise<ArrayLike<number>> =>
      y.data().catch((error) => {
        expect(error).toBeInstanceOf(DeviceStalledError);
        return asOftenAsNeeded();
      });
    expect(await asOftenAsNeeded()).toEqual(Float32Array.of(wanted()));
    // Readings that came too late for those who asked gave their buffers back.
    await backend.settled();
    const used = backend.counters().buffers;
    await y.data();
    expect(backend.counters().buffers).toBe(used);
    expect(used).toBeGreaterThan(buffers);
    backend.dispose();
  });

  test("a backend that is stuck can be left for a new one", async () => {
    const stuck = await webgpu({ timeout: 0.02 });
    await expect(apply(slow, [ones([1], { backend: stuck })], undefined, stuck)[0].data()).rejects.toThrow(
      DeviceStalledError,
    );
    stuck.dispose();
    await expect(stuck.settled()).rejects.toThrow("the backend is disposed");
    const next = await webgpu();
    expect(await ones([2], { backend: next }).add(1).array()).toEqual([2, 2]);
    next.dispose();
  });
});
