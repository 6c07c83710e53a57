// Tuning: the search with a clock of its own, the life of the file, and a run on the adapter of the tests.
import { execFile } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cpu, grad, type Tensor, tune, webgpu } from "@pkg/tensor";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Choice } from "../../../packages/tensor/src/backends/webgpu/rule.ts";
import { readFound, writeFound } from "../../../packages/tensor/src/backends/webgpu/tuning/store.ts";
import { search } from "../../../packages/tensor/src/backends/webgpu/tuning/tuner.ts";
import {
  likelyTilings,
  TILES,
  type Tiling,
  tilingFor,
  tilingSearch,
} from "../../../packages/tensor/src/ops/matmul/tiles.ts";
import { bundled } from "../../cli/bundled.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { heldBy } from "../../setup/heldTensors.ts";
import { exact } from "../ops/checkCase.ts";
import { distance, drawInputs, place } from "../ops/derived.ts";

const target = { profile: "tiled", workgroupMemory: 49152, maxInvocations: 1024 } as const;
const product = { batches: 1, m: 300, n: 200, k: 8192, runs: 1 };
const likely = likelyTilings(product, target).map(({ tiling }) => tiling);
const choice = tilingSearch(product, target, likely);

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
      const { way: tiling, before, after } = await search(choice, time);
      expect(tiling.tile).toMatchObject({ tileM, tileN });
      // Half and twice as many are slower by this clock.
      expect(Math.abs(Math.log2(tiling.shares / shares))).toBeLessThan(1);
      expect(after).toBeLessThan(before);
      expect(new Set(asked).size).toBe(asked.length);
      expect(asked.length).toBeLessThanOrEqual(TILES.length + 8);
    }
  });

  test("keeps what is expected to be fast where others are as fast", async () => {
    const { way, before, after } = await search(choice, async () => 1);
    expect(way).toEqual(likely[0]);
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
  const one = new Map([["matmul a", [64, 64, 4]]]);
  const other = new Map([["conv2d b", [128, 128, 1]]]);

  test("keeps what was found for each adapter and adds to it, in the user's cache unless told otherwise", async () => {
    vi.stubEnv("XDG_CACHE_HOME", folder);
    expect(await readFound(undefined, "A")).toEqual(new Map());
    await writeFound(undefined, "A", one);
    await writeFound(undefined, "B", other);
    await writeFound(undefined, "A", other);
    expect(await readFound(undefined, "A")).toEqual(new Map([...one, ...other]));
    expect(await readFound(undefined, "B")).toEqual(other);
    expect(await readFound(undefined, "C")).toEqual(new Map());
    expect(readdirSync(join(folder, "tweedie"))).toEqual(["tilings.jsonl"]);
  });

  test.each([
    ["no JSON", "{"],
    ["null", "null"],
    ["an array", "[1]"],
    ["a line of another kind", '{"version": "0", "adapter": "A", "tilings": {"matmul a": [64, 64, 4]}}'],
    ["a line that a full disk cut short", '\n{"adapter": "A", "fou'],
  ])("is added to where it holds %s", async (_, text) => {
    const file = join(folder, "deep", "tilings.jsonl");
    await writeFound(file, "A", one);
    writeFileSync(file, text);
    expect(await readFound(file, "A")).toEqual(new Map());
    await writeFound(file, "A", other);
    expect(await readFound(file, "A")).toEqual(other);
  });

  test("is read but for entries that are no lists of numbers", async () => {
    const file = join(folder, "tilings.jsonl");
    await writeFound(file, "A", one);
    for (const line of [
      { adapter: "A", found: { b: ["x"], c: [null], d: "x", e: null, f: [64, [1]] } },
      { adapter: "B", found: null },
      { adapter: "B", found: 7 },
    ]) {
      appendFileSync(file, `${JSON.stringify(line)}\n`);
    }
    expect(await readFound(file, "A")).toEqual(one);
    expect(await readFound(file, "B")).toEqual(new Map());
  });

  test("loses nothing of processes that write at the same time", async () => {
    const file = join(folder, "tilings.jsonl");
    const code = `
      import { writeFound } from "../../tensor/src/backends/webgpu/tuning/store.ts";
      const [, , file, name] = process.argv;
      for (let k = 0; k < 100; k++) await writeFound(file, "A", new Map([[name + k, [k % 3, k + 1]]]));
    `;
    const script = await bundled(code, folder);
    const run = (name: string) => promisify(execFile)(process.execPath, [script, file, name]);
    await Promise.all(["x", "y", "z"].map(run));
    const found = await readFound(file, "A");
    expect(found.size).toBe(300);
    for (const name of ["x", "y", "z"]) expect(found.get(`${name}99`)).toEqual([0, 100]);
  });

  test("that cannot be written is an error that names it, and leaves nothing behind", async () => {
    writeFileSync(join(folder, "file"), "");
    const file = join(folder, "file", "tilings.jsonl");
    await expect(writeFound(file, "A", one)).rejects.toThrow(`tune: ${file} cannot be written (`);
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

describe("a tiling", () => {
  let asked: Choice<unknown> | null = null;
  const choose = (text: string, given = product) => {
    const timed = <Way>(one: Choice<Way>) => {
      asked = one as Choice<unknown>;
      return null;
    };
    tilingFor({ name: "matmul", text }, given, { ...target, timed }, () => []);
    return asked as Choice<unknown> | null;
  };

  test("is stored in three numbers, and others than those of a tile and shares are not taken for one", () => {
    const found = choose("a kernel");
    expect(found?.encode(likely[0])).toEqual([likely[0].tile.tileM, likely[0].tile.tileN, likely[0].shares]);
    for (const tiling of likely) expect(found?.decode(found.encode(tiling))).toEqual(tiling);
    for (const numbers of [[1, 2, 3], [64, 64, 0], [64, 64, 1.5], [64, 64], []]) {
      expect(found?.decode(numbers)).toBeNull();
    }
  });

  test("is shared by products of about one size, and worth nothing once the kernel's text is another", () => {
    const [one, larger, other] = [choose("a kernel"), choose("a kernel", { ...product, m: 310 }), choose("another")];
    expect(larger).toMatchObject({ name: one?.name, version: one?.version });
    expect(other?.name).toBe(one?.name);
    expect(other?.version).not.toBe(one?.version);
    expect(choose("a kernel", { ...product, m: 600 })?.name).not.toBe(one?.name);
  });
});

test("other backends have nothing to tune", async () => {
  await expect(tune(cpu(), () => {})).rejects.toThrow("tune: cpu: float32 has nothing to time, want a webgpu backend");
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
    expect(found.map(({ name }) => name.split(" ")[0]).sort()).toEqual(["conv2d", "conv2dInput", "conv2dWeight"]);
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
