// Tuning: the search with a clock of its own, the life of the file, and a run on the adapter of the tests.
import { execFile } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cpu, grad, type Tensor, tune, webgpu } from "@pkg/tensor";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { readTilings, writeTilings } from "../../../packages/tensor/src/backends/webgpu/tuning/tilingStore.ts";
import { search } from "../../../packages/tensor/src/backends/webgpu/tuning/tuner.ts";
import { likelyTilings, TILES, type Tiling } from "../../../packages/tensor/src/ops/matmul/tiles.ts";
import { bundled } from "../../cli/bundled.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { heldBy } from "../../setup/heldTensors.ts";
import { exact } from "../ops/checkCase.ts";
import { distance, drawInputs, place } from "../ops/derived.ts";

const target = { profile: "tiled", workgroupMemory: 49152, maxInvocations: 1024 } as const;
const product = { batches: 1, m: 300, n: 200, k: 8192, runs: 1 };

describe("the search", () => {
  /** A device on which one tile and one number of shares are the fastest. */
  const clock = (tileM: number, tileN: number, shares: number) => {
    const asked: string[] = [];
    const time = async ({ tile, ...cut }: Tiling) => {
      asked.push(`${tile.tileM}×${tile.tileN} in ${cut.shares}`);
      return (tile.tileM === tileM && tile.tileN === tileN ? 1 : 3) + Math.abs(Math.log2(cut.shares / shares));
    };
    return { asked, time };
  };

  test("finds the fastest tile and the fastest shares, and times nothing twice", async () => {
    for (const [tileM, tileN, shares] of [
      [64, 64, 2],
      [128, 32, 32],
      [32, 32, 1],
    ]) {
      const { asked, time } = clock(tileM, tileN, shares);
      const { tiling, before, after } = await search(product, target, time);
      expect(tiling.tile).toMatchObject({ tileM, tileN });
      // Half and twice as many are slower by this clock.
      expect(Math.abs(Math.log2(tiling.shares / shares))).toBeLessThan(1);
      expect(after).toBeLessThan(before);
      expect(new Set(asked).size).toBe(asked.length);
      expect(asked.length).toBeLessThanOrEqual(TILES.length + 8);
    }
  });

  test("keeps what is expected to be fast where others are as fast", async () => {
    const [likely] = likelyTilings(product, target);
    const { tiling, before, after } = await search(product, target, async () => 1);
    expect(tiling).toEqual(likely.tiling);
    expect([before, after]).toEqual([1, 1]);
  });
});

describe("the file of tilings", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tilings-"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  const one = new Map([["matmul a", { tile: TILES[2], shares: 4 }]]);
  const other = new Map([["conv2d b", { tile: TILES[0], shares: 1 }]]);

  test("keeps what was found for each adapter and adds to it, in the user's cache unless told otherwise", async () => {
    vi.stubEnv("XDG_CACHE_HOME", folder);
    expect(await readTilings(undefined, "A")).toEqual(new Map());
    await writeTilings(undefined, "A", one);
    await writeTilings(undefined, "B", other);
    await writeTilings(undefined, "A", other);
    expect(await readTilings(undefined, "A")).toEqual(new Map([...one, ...other]));
    expect(await readTilings(undefined, "B")).toEqual(other);
    expect(await readTilings(undefined, "C")).toEqual(new Map());
    expect(readdirSync(join(folder, "tweedie"))).toEqual(["tilings.jsonl"]);
  });

  test.each([
    ["no JSON", "{"],
    ["null", "null"],
    ["an array", "[1]"],
    ["another version", '{"version": "0", "adapter": "A", "tilings": {"matmul a": [64, 64, 4]}}'],
    ["a line that a full disk cut short", '\n{"version": "1", "adap'],
  ])("is added to where it holds %s", async (_, text) => {
    const file = join(folder, "deep", "tilings.jsonl");
    await writeTilings(file, "A", one);
    writeFileSync(file, text);
    expect(await readTilings(file, "A")).toEqual(new Map());
    await writeTilings(file, "A", other);
    expect(await readTilings(file, "A")).toEqual(other);
  });

  test("is read but for entries that are no tilings", async () => {
    const file = join(folder, "tilings.jsonl");
    await writeTilings(file, "A", one);
    const { version } = JSON.parse(readFileSync(file, "utf8"));
    const tilings = { b: [1, 2, 3], c: [64, 64, 0], d: "x", e: null, f: [64, 64, 1.5] };
    for (const line of [
      { version, adapter: "A", tilings },
      { version, adapter: "B", tilings: null },
      { version, adapter: "B", tilings: 7 },
    ]) {
      appendFileSync(file, `${JSON.stringify(line)}\n`);
    }
    expect(await readTilings(file, "A")).toEqual(one);
    expect(await readTilings(file, "B")).toEqual(new Map());
  });

  test("loses nothing of processes that write at the same time", async () => {
    const file = join(folder, "tilings.jsonl");
    const code = `
      import { writeTilings } from "../../tensor/src/backends/webgpu/tuning/tilingStore.ts";
      import { TILES } from "../../tensor/src/ops/matmul/tiles.ts";
      const [, , file, name] = process.argv;
      for (let k = 0; k < 100; k++) await writeTilings(file, "A", new Map([[name + k, { tile: TILES[k % 3], shares: k + 1 }]]));
    `;
    const script = await bundled(code, folder);
    const run = (name: string) => promisify(execFile)(process.execPath, [script, file, name]);
    await Promise.all(["x", "y", "z"].map(run));
    const found = await readTilings(file, "A");
    expect(found.size).toBe(300);
    for (const name of ["x", "y", "z"]) expect(found.get(`${name}99`)).toEqual({ tile: TILES[0], shares: 100 });
  });

  test("that cannot be written is an error that names it, and leaves nothing behind", async () => {
    writeFileSync(join(folder, "file"), "");
    const file = join(folder, "file", "tilings.jsonl");
    await expect(writeTilings(file, "A", one)).rejects.toThrow(`tune: ${file} cannot be written (`);
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

test("other backends have no tilings", async () => {
  await expect(tune(cpu(), () => {})).rejects.toThrow("tune: cpu: float32 has no tilings, want a webgpu backend");
});

describe.skipIf(!gpuAvailable)("on webgpu", () => {
  const folder = mkdtempSync(join(tmpdir(), "tilings-"));
  const file = join(folder, "tilings.jsonl");
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const shapes = [
    [1, 6, 5, 8],
    [3, 3, 8, 4],
  ];
  const gradients = ([x, w]: readonly Tensor[]) => grad(() => x.conv2d(w, { padding: 1 }).square().sum(), [x, w]);

  test("tuning times each product of a step once, keeps the results right, and a later backend begins with what was found", async () => {
    const backend = await webgpu({ profile: "tiled", poison: true, tuned: file });
    const drawn = drawInputs({ inputs: shapes }, 1);
    const operands = place(drawn, backend);
    const { buffers } = heldBy(backend);
    const found = await tune(backend, () => gradients(operands).map((g) => g.dispose()));
    expect(found.map(({ product: name }) => name.split(" ")[0]).sort()).toEqual([
      "conv2d",
      "conv2dInput",
      "conv2dWeight",
    ]);
    for (const { before, after } of found) {
      expect(after).toBeGreaterThan(0);
      expect(after).toBeLessThanOrEqual(before);
    }
    expect(backend.memory().buffers).toBe(buffers);
    expect(await tune(backend, () => gradients(operands).map((g) => g.dispose()))).toEqual([]);
    expect(await distance(gradients(operands), gradients(place(drawn, exact)))).toBeLessThan(1e-6);

    const later = await webgpu({ profile: "tiled", tuned: file });
    expect(await tune(later, () => gradients(place(drawn, later)))).toEqual([]);
    const [first, again] = [gradients(operands), gradients(place(drawn, later))];
    for (const [k, g] of first.entries()) expect(await again[k].data()).toEqual(await g.data());
    for (const used of [backend, later]) used.dispose();
  });

  test("software adapters with their own kernels have nothing to choose, and no file", async () => {
    const backend = await webgpu({ tuned: file });
    const ran = vi.fn(() => gradients(place(drawInputs({ inputs: shapes }, 1), backend)));
    expect(await tune(backend, ran)).toEqual([]);
    expect(ran).toHaveBeenCalledOnce();
    expect(existsSync(file)).toBe(false);
    backend.dispose();
  });
});
