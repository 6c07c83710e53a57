import { expect, test } from "vitest";
import { htmlReport } from "../../bench/htmlReport.ts";
import { measurement, result } from "./made.ts";

test("the report names every case, backend, failure and what was left out", async () => {
  const html = await htmlReport(
    result([measurement("matmul", [1, 2, 3]), measurement("conv2d & more", [4, 5, 6], { backend: "tfjs wasm" })], {
      failures: [{ name: "softmax", size: "4096×256", backend: "webgpu", reason: "relative L2 error <1>" }],
      absent: [{ name: "attention", size: "long", backend: "cpu", reason: "too slow for this size" }],
    }),
  );
  for (const wanted of [
    "matmul",
    "conv2d &amp; more",
    "tfjs wasm",
    "softmax",
    "relative L2 error &lt;1&gt;",
    "too slow for this size",
    "0123456789abcdef, with changes",
    "Made-up CPU",
    "bench --quick",
  ]) {
    expect(html).toContain(wanted);
  }
});

test("the report loads nothing and runs nothing", async () => {
  const html = await htmlReport(result([measurement("matmul", [1, 2, 3])]));
  expect(html).toContain("<svg");
  expect(html).not.toMatch(/<script|<link|<img|<iframe|@import|url\(/i);
  // Names of XML's own, which nobody fetches.
  const addresses = [...html.matchAll(/https?:\/\/[^"' ]+/g)].map(([address]) => address);
  expect(addresses.filter((address) => !address.startsWith("http://www.w3.org/"))).toEqual([]);
});

test("shares of the ceiling are the larger of arithmetic and memory", async () => {
  // 2e8 operations in 4 ms are 50 GFLOP/s of 100; 3e6 bytes are 0.75 GB/s of 20.
  const html = await htmlReport(result([measurement("matmul", [4, 4, 4])]));
  expect(html).toContain(">50 %<");
});

test("a run without measurements is still a report", async () => {
  expect(await htmlReport(result([]))).toContain("Environment");
});
