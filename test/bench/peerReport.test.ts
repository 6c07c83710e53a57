import { expect, test } from "vitest";
import { comparison, ownLabel, ratioOf } from "../../bench/peerReport.ts";
import { measurement } from "./made.ts";

test("ratios are taken round by round, so that load that hits both cancels", () => {
  const ours = measurement("conv2d", [1, 10, 2], { backend: "tweedie wasm" });
  const theirs = measurement("conv2d", [2, 20, 4], { backend: "tfjs wasm" });
  expect(ratioOf(ours, theirs)).toBe(0.5);
});

test("WebGPU is measured against WebGPU, everything else against WebAssembly, or against what took part", () => {
  const both = [{ backend: "tweedie wasm" }, { backend: "tweedie webgpu" }];
  expect(ownLabel("jax-js webgpu", both)).toBe("tweedie webgpu");
  expect(ownLabel("numpy", both)).toBe("tweedie wasm");
  expect(ownLabel("torch", both.slice(1))).toBe("tweedie webgpu");
});

test("each peer's line has its ratio; ours has none", () => {
  const lines = comparison([
    measurement("conv2d", [1, 1], { backend: "tweedie wasm" }),
    measurement("conv2d", [4, 4], { backend: "torch" }),
  ]).split("\n");
  expect(lines[0]).not.toContain("ours takes");
  expect(lines[1]).toContain("ours takes 0.25×");
});
