import { cpu } from "@pkg/tensor";
import { expect, test } from "vitest";
import type { BenchCase } from "../../bench/case.ts";
import { type Contender, ours } from "../../bench/contender.ts";
import { type Effort, measure } from "../../bench/measure.ts";

const EFFORT: Effort = {
  samples: 3,
  sampleTime: 0,
  warmTime: 0,
  mostTime: 1e4,
  mostBytes: 1e9,
  mostStepTime: 0,
  rest: 0,
  sampleSteps: 1,
};

const double: BenchCase = {
  name: "double",
  size: "4",
  flop: 4,
  bytes: 32,
  inputs: [[4]],
  solve: ([x]) => [x.mul(2)],
  tolerance: 1e-7,
};

/** Somebody whose results are given, and whose later runs may fail. */
function contender(label: string, outputs: readonly number[], time = async () => 1): Contender {
  return {
    label,
    expectedRate: Number.POSITIVE_INFINITY,
    isGpu: false,
    prepare: async () => ({ outputs: async () => [outputs], time, dispose: () => {} }),
  };
}

test("a wrong result is a failure without a time, and the others are timed", async () => {
  const backend = cpu();
  const wrong = contender("wrong", [1, 2, 3, 4]);
  const { measurements, failures } = await measure(double, [wrong, ours("cpu", backend, 1e9)], EFFORT);
  expect(measurements.map(({ backend: label }) => label)).toEqual(["cpu"]);
  expect(measurements[0].samples).toHaveLength(3);
  expect(measurements[0].error).toBeLessThan(1e-7);
  expect(failures).toHaveLength(1);
  expect(failures[0].backend).toBe("wrong");
  expect(failures[0].reason).toMatch(/relative L2 error .*, want at most 1e-7/);
  backend.dispose();
});

test("results of another size, and NaN, are failures", async () => {
  const contenders = [contender("short", [1]), contender("NaN", [Number.NaN, 0, 0, 0])];
  const { measurements, failures } = await measure(double, contenders, EFFORT);
  expect(measurements).toEqual([]);
  expect(failures.map(({ reason }) => reason.slice(0, 20))).toEqual(["outputs of 1 element", "relative L2 error Na"]);
});

test("who fails while being timed has no time; who cannot solve it is left out with the reason", async () => {
  const backend = cpu();
  const dying: Contender = {
    ...ours("dying", backend, 1e9),
    prepare: async (given) => {
      const solver = await ours("dying", backend, 1e9).prepare(given);
      if (typeof solver === "string") return solver;
      return { ...solver, time: () => Promise.reject(new Error("its process ended")) };
    },
  };
  const unable: Contender = { ...contender("unable", []), prepare: async () => "has no such operation" };
  const { measurements, failures, absent } = await measure(double, [dying, unable], { ...EFFORT, warmTime: 0 });
  expect(measurements).toEqual([]);
  expect(failures.map(({ backend: label, reason }) => `${label}: ${reason}`)).toEqual(["dying: its process ended"]);
  expect(absent.map(({ backend: label, reason }) => `${label}: ${reason}`)).toEqual(["unable: has no such operation"]);
  backend.dispose();
});

test("cases for GPUs and cases that would take too long are left out by name", async () => {
  const backend = cpu();
  const slow = await measure(double, [ours("cpu", backend, 1e-4)], EFFORT);
  expect(slow.absent[0].reason).toBe("too slow for this size");
  const forGpus = await measure({ ...double, onlyGpu: true }, [ours("cpu", backend, 1e9)], EFFORT);
  expect(forGpus.absent[0].reason).toBe("for GPUs only");
  backend.dispose();
});

test("a part of a problem is checked against the same part of the reference", async () => {
  const backend = cpu();
  const given: BenchCase = {
    ...double,
    part: { inputs: ([x]) => [x.slice([2, 4])], outputs: ([y]) => [y.slice([2, 4])], shapes: [[4]] },
  };
  const { measurements, failures } = await measure(given, [ours("cpu", backend, 1e9)], EFFORT);
  expect(failures).toEqual([]);
  expect(measurements).toHaveLength(1);
  backend.dispose();
});

test("a case that the reference cannot solve is a failure by name, and nothing is thrown", async () => {
  const impossible: BenchCase = { ...double, solve: ([x]) => [x.reshape([3])] };
  const { failures } = await measure(impossible, [contender("any", [1])], EFFORT);
  expect(failures[0]).toMatchObject({ name: "double", size: "4", backend: "the reference" });
});

test("a contender that rounds is allowed more than the case, and the measurement says how much", async () => {
  const rounded = { ...contender("rounded", [0, 0, 0, 0]), tolerance: 2 };
  const { measurements, failures } = await measure(double, [rounded, contender("wrong", [0, 0, 0, 0])], EFFORT);
  expect(measurements.map(({ backend, tolerance }) => [backend, tolerance])).toEqual([["rounded", 2]]);
  expect(failures.map(({ backend }) => backend)).toEqual(["wrong"]);
});
