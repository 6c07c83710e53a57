// Grids of many images: drawn some at a time, in bounded memory, and left when a signal says so.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { solvers } from "@pkg/diffusion";
import { cpu } from "@pkg/tensor";
import { expect, test } from "vitest";
import { averagedModel } from "../../packages/cli/src/images/drawImages.ts";
import { writeGrid } from "../../packages/cli/src/images/sampleGrid.ts";
import { temporaryDirectory } from "./bundled.ts";
import { rows } from "./pngRows.ts";
import { SMALL, smallRun } from "./smallRun.ts";

const image = { height: 8, width: 8 };

/** Draws a grid, aborted after some steps if need be. */
async function draw(count: number, stopAfter = Number.POSITIVE_INFINITY, sampler = "ddim") {
  const backend = cpu();
  const model = averagedModel(SMALL, smallRun(backend).average.state(), backend);
  const path = join(temporaryDirectory(), "grid.png");
  const stop = new AbortController();
  const seen: string[] = [];
  const request = { sampler, steps: 2, count, seed: 5, labels: [1, 2, 3], guidance: 1, path } as const;
  const stopped = await writeGrid(model, SMALL, image, request, stop.signal, (step, steps) => {
    seen.push(`${step}/${steps}`);
    if (seen.length >= stopAfter) stop.abort("SIGINT");
  });
  const { peakBytes } = backend.memory();
  return { stopped, seen, peakBytes, path };
}

/** The first row of pixels of each image of a grid with so many columns. */
function firstRows(path: string, columns: number, count: number): string[] {
  const pixels = rows(readFileSync(path));
  const at = (k: number) => ({ row: pixels[18 * Math.floor(k / columns)], left: 18 * (k % columns) });
  return Array.from({ length: count }, (_, k) => `${at(k).row.slice(at(k).left, at(k).left + 16)}`);
}

test("300 images take the memory of 256, begin with theirs, and differ all", async () => {
  const [some, many] = [await draw(256), await draw(300)];
  expect(many.peakBytes).toBe(some.peakBytes);
  expect(many.seen).toEqual(["1/4", "2/4", "3/4", "4/4"]);
  const drawn = firstRows(many.path, 18, 300);
  expect(drawn.slice(0, 256)).toEqual(firstRows(some.path, 16, 256));
  expect(new Set(drawn).size).toBe(300);
});

test.each(solvers.map(({ name }) => name))("every sampler of the list draws, each something else: %s", async (name) => {
  const { seen, path } = await draw(4, undefined, name);
  expect(seen).toEqual(["1/2", "2/2"]);
  const drawn = firstRows(path, 2, 4);
  expect(new Set(drawn).size).toBe(4);
});

test("a signal between two rounds leaves nothing", async () => {
  const { stopped, seen, path } = await draw(300, 3);
  expect([stopped, seen.length, existsSync(path)]).toEqual([true, 3, false]);
});

test("more pixels than an array holds are refused before anything is drawn", async () => {
  await expect(draw(2 ** 48)).rejects.toThrow("Invalid typed array length");
});
