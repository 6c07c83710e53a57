// Power-function averages of a run: kept, resumed, and made into other lengths by sample.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpu } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { postHocState, snapshotsBeside } from "../../packages/cli/src/checkpoint/snapshots.ts";
import { lockRun } from "../../packages/cli/src/files/runLock.ts";
import { type Run, restoreRun, saveRun } from "../../packages/cli/src/training/run.ts";
import { train } from "../../packages/cli/src/training/train.ts";
import { hash, tweedie, writeSquares } from "./commandLine.ts";
import { IMAGES, SMALL, smallRun } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-power-ema-"));
afterAll(() => rmSync(work, { recursive: true }));

const settings = { ...SMALL, lr: 0.01, powerEma: { sigmaRels: [0.05, 0.1, 0.07], every: 2 } };

/** Trains up to so many steps in a folder, and saves. */
async function trained(run: Run, out: string, steps: number): Promise<string> {
  const checkpoint = join(out, "checkpoint.safetensors");
  const files = { checkpoint, log: join(out, "log.jsonl"), lock: await lockRun(out) };
  await saveRun(checkpoint, run);
  const plan = { budget: { steps }, began: performance.now(), saveEvery: 1e9 };
  await train(run, IMAGES, plan, files, new AbortController().signal);
  files.lock.release();
  return checkpoint;
}

test("averages and snapshots go on bit for bit, and make the length that was tracked beside them", async () => {
  const backend = cpu();
  const [whole, part] = [mkdtempSync(join(work, "whole")), mkdtempSync(join(work, "part"))];
  const path = await trained(smallRun(backend, settings), whole, 17);
  const begun = await trained(smallRun(backend, settings), part, 9);
  await trained(restoreRun(loadCheckpoint(begun, "resume"), backend), part, 17);
  const [one, two] = [path, begun].map((file) => loadCheckpoint(file, "resume"));
  expect([two.header, two.groups]).toEqual([one.header, one.groups]);
  expect(one.names).toEqual(["ema", "model", "optimizer", "powerEma"]);
  const names = readdirSync(snapshotsBeside(path));
  expect(names).toEqual([2, 4, 6, 8, 10, 12, 14, 16].map((step) => `00000000${step}`.slice(-9).concat(".safetensors")));
  for (const name of names)
    expect(hash(join(snapshotsBeside(begun), name))).toBe(hash(join(snapshotsBeside(path), name)));

  const checkpoint = loadCheckpoint(path, "drawPostHoc");
  const tracked = checkpoint.groups.get("powerEma");
  // The third average is there to compare with: those of the other two, and of steps before, make it too.
  const { header } = checkpoint;
  const kept = { ...header.settings, powerEma: { ...settings.powerEma, sigmaRels: [0.05, 0.1] } };
  const made = postHocState(path, { ...checkpoint, header: { ...header, settings: kept } }, 0.07)(backend);
  let [far, near, length] = [0, 0, 0];
  for (const [name, value] of made) {
    const [found, wanted] = [await value.data(), tracked?.get(`2.${name}`)?.data ?? []];
    const shorter = tracked?.get(`0.${name}`)?.data ?? [];
    for (const [k, x] of wanted.entries()) {
      near += (found[k] - x) ** 2;
      far += (shorter[k] - x) ** 2;
      length += x * x;
    }
  }
  expect(Math.sqrt(near / length)).toBeLessThan(1e-3);
  expect(near).toBeLessThan(far / 16);
});

test("sample draws with a length that the snapshots span, and refuses others and what is no snapshot", async () => {
  const data = join(work, "data");
  writeSquares(data);
  const out = join(work, "out");
  const at = ["--backend", "cpu", "--out", out];
  const small = ["--data", data, "--channels", "2", "--multipliers", "1", "--batch", "4", ...at];
  const kept = ["--ema-sigma-rel", "0.05,0.1", "--ema-every", "2"];
  expect((await tweedie("train", ...small, ...kept, "--steps", "12")).code).toBe(0);
  const draw = ["sample", ...at, "--count", "1", "--sampler", "ddim", "--steps", "2", "--ema-sigma-rel"];
  const { code, error } = await tweedie(...draw, "0.08");
  expect([code, error]).toEqual([0, ""]);
  const elsewhere = draw.map((word) => (word === out ? `${out}-none` : word));
  const refused = await tweedie(...elsewhere, "0.01", "--checkpoint", join(out, "checkpoint.safetensors"));
  expect(refused.error).toMatch(
    /^error: --ema-sigma-rel 0\.01: sigmaRel is 0\.01, want one that the 12 snapshots span, in \[0\.\d+, 0\.\d+\]\n$/,
  );
  expect(existsSync(`${out}-none`)).toBe(false);
  writeFileSync(join(snapshotsBeside(join(out, "x")), "000000004.safetensors"), "nonsense");
  const damaged = await tweedie(...draw, "0.08");
  expect([damaged.code, damaged.error.split("\n").length]).toEqual([2, 2]);
  expect(damaged.error).toContain("000000004.safetensors");
  // A new run moves the snapshots aside with the rest.
  expect((await tweedie("train", ...small, "--steps", "1")).code).toBe(0);
  expect(existsSync(snapshotsBeside(join(out, "x")))).toBe(false);
  expect(readdirSync(join(out, "earlier-1", "ema"))).toHaveLength(6);
  const without = await tweedie(...draw, "0.08");
  expect(without.error).toContain("checkpoint.safetensors was trained without --ema-sigma-rel, want it with train");
  expect((await tweedie("train", ...small, "--ema-sigma-rel", "0.1,0.10")).error).toBe(
    "error: --ema-sigma-rel 0.1,0.10: want each length once\n",
  );
  expect((await tweedie("train", ...small, "--ema-every", "5")).error).toContain("want --ema-sigma-rel with it");
});
