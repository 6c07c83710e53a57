// The command fid: of small squares, and of networks that it cannot judge.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpu, wasm } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { pixelsOf, trainDigitClassifier } from "../../packages/cli/src/fid/digitClassifier.ts";
import { saveRun } from "../../packages/cli/src/training/run.ts";
import { tweedie, writeSquares } from "./commandLine.ts";
import { SMALL, smallRun } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-fid-"));
afterAll(() => rmSync(work, { recursive: true }));

/** Images of 8 × 8 whose label is the row that is bright. */
const striped = {
  images: Uint8Array.from({ length: 64 * 64 }, (_, i) => (Math.floor(i / 8) % 8 === Math.floor(i / 64) % 8 ? 255 : 0)),
  labels: Uint8Array.from({ length: 64 }, (_, k) => k % 8),
  count: 64,
  height: 8,
  width: 8,
  channels: 1,
};

test("the classifier learns, is the same each time, and gives 64 features an image; a stop ends its training", async () => {
  const found = [];
  const backend = await wasm({ threads: 1 });
  const isStopped = () => false;
  for (const _ of [1, 2]) {
    const classifier =
      (await trainDigitClassifier(striped, backend, { steps: 60, isStopped })) ?? expect.fail("it was stopped");
    expect(await classifier.accuracy(striped)).toBe(1);
    found.push(await classifier.features(pixelsOf(striped)));
  }
  expect(found[0].map((row) => row.length)).toEqual(new Array(64).fill(64));
  expect(found[1]).toEqual(found[0]);
  // Equal images have equal features, others have not.
  expect(found[0][8]).toEqual(found[0][0]);
  expect(found[0][1]).not.toEqual(found[0][0]);
  let steps = 0;
  expect(await trainDigitClassifier(striped, backend, { isStopped: () => ++steps === 3 })).toBe(undefined);
  expect(steps).toBe(3);
});

test("it prints the distance of what a checkpoint draws and that of training images, and refuses images of another size", async () => {
  const data = join(work, "data");
  writeSquares(data);
  const path = join(work, "small.safetensors");
  await saveRun(path, smallRun(cpu()));
  const at = ["--data", data, "--backend", "wasm", "--checkpoint", path, "--count", "20"];
  const { code, out, error } = await tweedie("fid", ...at, "--steps", "3");
  expect(code, error).toBe(0);
  const [drawn, training] = [...out.matchAll(/^FID (\S+): (.*)$/gm)].map(([, distance, what]) => ({
    distance: Number(distance),
    what,
  }));
  expect([drawn.what, training.what]).toEqual(["20 images by ddim, 3 steps", "20 training images"]);
  // An untrained network draws noise.
  expect(drawn.distance).toBeGreaterThan(10 * training.distance);
  const other = join(work, "other.safetensors");
  await saveRun(other, { ...smallRun(cpu()), image: { height: 4, width: 8 } });
  const refused = await tweedie("fid", ...at.slice(0, 4), "--checkpoint", other);
  expect([refused.code, refused.error]).toEqual([
    2,
    "error: --data: images of 8 × 8 × 1, want 4 × 8 × 1 as the network draws\n",
  ]);
  expect(SMALL.diffusionSteps).toBe(10);
  const one = await tweedie("fid", ...at.slice(0, 6), "--count", "1");
  expect([one.code, one.error]).toEqual([2, "error: --count 1: want an integer in [2, 65536]\n"]);
  const most = await tweedie("fid", ...at, "--steps", "11");
  expect([most.code, most.error]).toEqual([2, expect.stringContaining("--steps 11: want at most the schedule's 10")]);
});
