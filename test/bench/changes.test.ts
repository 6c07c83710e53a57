import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type Change, changes, comparisonTable } from "../../bench/changes.ts";
import { readResult } from "../../bench/result.ts";
import { measurement, result } from "./made.ts";

const STEADY = [10, 10, 10, 10, 10];

function verdict(before: readonly number[], after: readonly number[]): Change["verdict"] {
  const [change] = changes(result([measurement("matmul", before)]), result([measurement("matmul", after)]));
  return change.verdict;
}

test("more than 5 % of a steady time is a change, up and down", () => {
  expect(verdict(STEADY, [10.6, 10.6, 10.6])).toBe("slower");
  expect(verdict(STEADY, [9.4, 9.4, 9.4])).toBe("faster");
  expect(verdict(STEADY, [10.4, 10.4, 10.4])).toBe("same");
  expect(verdict(STEADY, [9.6, 9.6, 9.6])).toBe("same");
});

test("three median deviations of either run excuse more", () => {
  const noisy = [8, 9, 10, 11, 12]; // MAD 1: 13 is as far as noise goes
  expect(verdict(noisy, [12.9, 12.9, 12.9])).toBe("same");
  expect(verdict(noisy, [13.1, 13.1, 13.1])).toBe("slower");
  expect(verdict([12.9, 12.9, 12.9], noisy)).toBe("same");
  expect(verdict([13.1, 13.1, 13.1], noisy)).toBe("faster");
});

test("rows of one run only are named", () => {
  const before = result([measurement("matmul", STEADY), measurement("conv2d", STEADY)]);
  const after = result([measurement("conv2d", STEADY), measurement("softmax", STEADY, { backend: "webgpu" })]);
  const found = changes(before, after);
  expect(Object.fromEntries(found.map(({ row, verdict: said }) => [row, said]))).toEqual({
    "matmul 512³ on wasm": "missing",
    "conv2d 512³ on wasm": "same",
    "softmax 512³ on webgpu": "new",
  });
  const table = comparisonTable(found);
  expect(table).toContain("matmul 512³ on wasm");
  expect(table).toContain("softmax 512³ on webgpu");
  expect(table).toContain("0 slower, 0 faster, 1 the same, 1 missing, 1 new");
});

test("the table lists what got slower first, with its ratio", () => {
  const before = result([measurement("a", STEADY), measurement("b", STEADY)]);
  const after = result([measurement("a", [5, 5, 5]), measurement("b", [20, 20, 20])]);
  const lines = comparisonTable(changes(before, after)).split("\n");
  expect(lines[1]).toMatch(/^b 512³ on wasm +slower +10\.0 +20\.0 +2\.00×$/);
  expect(lines[2]).toMatch(/^a 512³ on wasm +faster +10\.0 +5\.00 +0\.500×$/);
});

test("training steps are compared too", () => {
  const network = (median: number) => ({
    network: "MNIST U-Net",
    backend: "wasm",
    batch: 64,
    parameters: 1e6,
    firstStep: 3000,
    trainStep: { median, p10: median, p90: median, mad: 1 },
    encode: 1000,
    ops: 500,
    allocatedBytes: 1e9,
    peakBytes: 5e8,
    sampling: { batch: 16, steps: 50, total: 1e4 },
  });
  const [change] = changes(result([], { networks: [network(1000)] }), result([], { networks: [network(1100)] }));
  expect(change).toEqual({
    row: "MNIST U-Net train step, batch 64 on wasm",
    verdict: "slower",
    before: 1000,
    after: 1100,
  });
});

test("files of another schema are refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "old.json");
  writeFileSync(file, JSON.stringify({ schema: 1, measurements: [] }));
  await expect(readResult(file)).rejects.toThrow("old.json: schema 1, want schema 2");
});
