// What a real browser adds: random numbers with Node's bits, pages that may not share memory, and the loss of the GPU process.
import { cpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Browser, type Call, openBrowser, runInPage } from "../../tools/browser.mjs";
import { browserAvailable } from "../setup/browser.ts";
import { drawDigests } from "../tensor/random/draws.ts";
import type { Program } from "./page.ts";

describe.skipIf(!browserAvailable)("in Chromium", () => {
  let browser: Browser;
  let call: Call<Program>;
  beforeAll(async () => {
    browser = await openBrowser();
    call = await runInPage<Program>(browser, "test/browser/page.ts");
  });
  afterAll(() => browser?.close());

  test.each(["webgpu", "wasm"] as const)("%s draws the bits that cpu draws in Node, 2²⁰ of each kind", async (kind) => {
    expect(await call("drawDigests", kind)).toEqual(await drawDigests(cpu()));
  });

  test("the best backend is WebAssembly where WebGPU computes on the CPU", async () => {
    expect(await call("name", "webgpu")).toMatch(/^webgpu: .*swiftshader/);
    expect(await call("name", "best")).toMatch(/^wasm: /);
  });

  test("WebAssembly takes two threads in a page that may share memory, and one elsewhere, with results as good", async () => {
    expect(await call("name", "wasm")).toMatch(/^wasm: 2 threads, simd/);
    const alone = await runInPage<Program>(browser, "test/browser/page.ts", { isolated: false });
    expect(await alone("name", "wasm")).toMatch(
      /^wasm: 1 thread, simd.* \(no more: the page is not cross-origin isolated, want the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp\)$/,
    );
    expect(await alone("name", "webgpu")).toMatch(/^webgpu: /);
    for (const name of ["matmul", "conv2d", "softmax"]) {
      expect(await alone("checkCase", "wasm", name, 0)).toEqual(await call("checkCase", "wasm", name, 0));
    }
  });

  test("a page whose policy forbids workers from blob: addresses computes on one thread, and the name says why", async () => {
    const forbidden = await runInPage<Program>(browser, "test/browser/page.ts", { policy: "worker-src 'none'" });
    expect(await forbidden("name", "wasm")).toMatch(
      /^wasm: 1 thread, simd.* \(no more: the page may start no workers from blob: addresses, want worker-src blob: in its Content-Security-Policy\)$/,
    );
    expect(await forbidden("checkCase", "wasm", "matmul", 0)).toEqual(await call("checkCase", "wasm", "matmul", 0));
  });

  test("a search for NaN that waited says that an op may be another task's; one that did not is sure", async () => {
    const [patient, maker, quick, sync] = await call("searches");
    const found =
      /detectNonFinite: op \d+, log of \[2\], makes, as output 0, 1 NaN or infinite of 2 elements \[2\], want finite ones/;
    for (const text of [patient, maker]) expect(text).toMatch(found);
    for (const text of [patient, maker]) expect(text).toMatch(/ \(or another task's, which ran while f waited: .*\)$/);
    expect(quick).toBe("nothing");
    expect(sync).toMatch(new RegExp(`^Error: ${found.source}$`));
  });

  test("readings on WebAssembly give the page its turns", async () => {
    expect(await call("turns", "wasm", 100)).toBeGreaterThanOrEqual(100);
  });

  // Without turns and weights of their own, its tensors would fill 4 GiB after 1,360 steps. A hundred steps make 300 MiB.
  test("a page's loop without tidy that reads now and then runs on in less than 1 GiB", async () => {
    const { bytes } = await call("soak", "wasm", "arithmetic read", 1500);
    expect(bytes).toBeLessThan(2 ** 30);
  });

  test("tilings that were found are kept in the browser's store, for each adapter", async () => {
    expect(await call("tilings")).toEqual([[], ["a", [64, 64, 4]], ["b", [128, 128, 1]]]);
  });

  test("when the GPU process dies in training, every use is a DeviceLostError; a new backend trains to the same bits", async () => {
    const undisturbed = await call("train", 20);
    const losing = call("trainUntilLost");
    await expect.poll(() => call("steps")).toBeGreaterThan(0);
    await browser.crashGpu();
    const { isDeviceLost, messages } = await losing;
    expect(isDeviceLost, messages.join("\n")).toBe(true);
    expect(messages[0]).toMatch(/^DeviceLostError: webgpu: .+, want a new backend$/);
    expect(await call("train", 20)).toEqual(undisturbed);
  });
});
