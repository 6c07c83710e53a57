// What a training run owns on disk, as people meet it: wrong checkpoints, two runs at once, old runs, failed saves.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hash, tweedie, writeSquares } from "./commandLine.ts";
import { partsOf, writeParts } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-run-files-"));
const data = join(work, "data");
afterAll(() => rmSync(work, { recursive: true }));
writeSquares(data);

const DATA = ["--data", data, "--backend", "cpu"];
const SMALL = [...DATA, "--channels", "4", "--multipliers", "1", "--batch", "8"];

test("a checkpoint with a wrong header ends sample, export and --resume in one line, and stays as it is", async () => {
  const out = join(work, "wrong");
  expect((await tweedie("train", ...SMALL, "--steps", "1", "--out", out)).code).toBe(0);
  const path = join(out, "checkpoint.safetensors");
  const { header, data: tensors } = partsOf(path);
  const settings = JSON.parse(header.__metadata__.tweedie);
  settings.settings.model.blocks = 1e9;
  writeParts(path, { ...header, __metadata__: { tweedie: JSON.stringify(settings) } }, tensors);
  const [before, log] = [hash(path), readFileSync(join(out, "log.jsonl"), "utf8")];
  for (const command of [
    ["sample", "--out", out, "--backend", "cpu"],
    ["export", "--out", out, "--to", join(out, "small")],
    ["train", ...DATA, "--resume", "--out", out],
    ["start", ...DATA, "--resume", "--out", out],
  ]) {
    expect(await tweedie(...command), command[0]).toEqual({
      code: 2,
      out: "",
      error: `error: ${path}: settings.model.blocks 1000000000, want 1 as in its weights\n`,
    });
  }
  expect([hash(path), readFileSync(join(out, "log.jsonl"), "utf8")]).toEqual([before, log]);
});
