// The commands as people run them: what they write, how they stop and go on, and what they say to mistakes.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { solvers } from "@pkg/diffusion";
import { parseSafetensors } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";
import { repetitions } from "../setup/repetitions.ts";
import { begin, ended, hash, tweedie, until, writeSquares } from "./commandLine.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-commands-"));
const data = join(work, "data");
afterAll(() => rmSync(work, { recursive: true }));
writeSquares(data);

const SMALL = ["--data", data, "--channels", "4", "--multipliers", "1,2", "--batch", "8", "--backend", "cpu"];
const GRID = ["--count", "4", "--ddim-steps", "3", "--ancestral-steps", "2"];

test("start draws with the network that comes with the project, trains, samples, and writes grids, curve, checkpoint and log", async () => {
  const out = join(work, "start");
  const { code, out: said, error } = await tweedie("start", ...SMALL, ...GRID, "--steps", "4", "--out", out);
  expect(error).toMatch(/step 4/);
  expect(code).toBe(0);
  expect(said).toMatch(/^backend: cpu: float32 \(--backend cpu\)\n/);
  expect(said).toContain("on 50 images of 8 × 8");
  for (const name of ["ddim", "ancestral"]) {
    const png = readFileSync(join(out, `samples-${name}.png`));
    // 2 × 2 images of 16 pixels, gaps of 2; colour type 0 is grey
    expect([png.readUInt32BE(16), png.readUInt32BE(20), png[25]]).toEqual([34, 34, 0]);
  }
  expect(readFileSync(join(out, "loss.svg"), "utf8")).toMatch(/^<svg/);
  const log = readFileSync(join(out, "log.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(log.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
  expect(log[0].loss).toBeCloseTo(1, 0);
  const digits = readFileSync(join(out, "pretrained-samples-ddim.png"));
  expect([digits.readUInt32BE(16), digits.readUInt32BE(20)]).toEqual([114, 114]); // 2 × 2 of 56 pixels and gaps
  const { tensors, metadata } = parseSafetensors(readFileSync(join(out, "checkpoint.safetensors")));
  expect(JSON.parse(metadata.tweedie)).toMatchObject({ format: 1, step: 4, image: { height: 8, width: 8 } });
  expect([...tensors.keys()].filter((name) => name.startsWith("ema.")).length).toBeGreaterThan(20);
});

test("without a checkpoint in --out, sample takes the one that comes with the project", async () => {
  const out = join(work, "nothing");
  const { code, out: said } = await tweedie("sample", "--out", out, "--backend", "wasm", ...GRID);
  expect(code).toBe(0);
  expect(said).toContain("sampling from a network of 267313 weights after 6611 steps: docs/mnist.safetensors");
  expect(existsSync(join(out, "samples-ancestral.png"))).toBe(true);
});

test("sample --sampler draws one grid by the sampler of that name, and --help lists the names", async () => {
  const out = join(work, "named");
  const flags = ["--sampler", "dpmSolverPlusPlus", "--steps", "3", "--count", "1", "--backend", "wasm", "--out", out];
  const { code, out: said } = await tweedie("sample", ...flags);
  expect(code).toBe(0);
  expect(said).toContain("1 samples by dpmSolverPlusPlus in 3 steps");
  expect(readdirSync(out)).toEqual(["samples-dpmSolverPlusPlus.png"]);
  const { out: help } = await tweedie("sample", "--help");
  expect(help).toMatch(new RegExp(`--sampler <name> .*; one of ${solvers.map(({ name }) => name).join(", ")}`));
});

test("sample draws the same images again from the same seed, and others from another", async () => {
  const out = join(work, "sample");
  const checkpoint = join(work, "start/checkpoint.safetensors");
  const draw = async (...flags: string[]) => {
    const { code } = await tweedie(
      "sample",
      "--checkpoint",
      checkpoint,
      "--out",
      out,
      "--backend",
      "cpu",
      ...GRID,
      ...flags,
    );
    expect(code).toBe(0);
    return hash(join(out, "samples-ddim.png"));
  };
  expect(await draw()).toBe(hash(join(work, "start/samples-ddim.png")));
  expect(await draw("--seed", "7")).not.toBe(hash(join(work, "start/samples-ddim.png")));
});

test("exported weights are small, and draw like the checkpoint", async () => {
  const [checkpoint, small] = [join(work, "start/checkpoint.safetensors"), join(work, "small.safetensors")];
  const { code } = await tweedie("export", "--checkpoint", checkpoint, "--to", small);
  expect(code).toBe(0);
  expect(readFileSync(small).length).toBeLessThan(readFileSync(checkpoint).length / 4);
  const out = join(work, "exported");
  expect((await tweedie("sample", "--checkpoint", small, "--out", out, "--backend", "cpu", ...GRID)).code).toBe(0);
  const resumed = await tweedie("export", "--checkpoint", checkpoint);
  expect([resumed.code, resumed.error]).toEqual([2, "error: --to: missing, want the file to write\n"]);
});

test.skipIf(!gpuAvailable)("on webgpu, where steps are replayed, a resumed run continues bit for bit too", async () => {
  const [whole, parts] = [join(work, "gpu-whole"), join(work, "gpu-parts")];
  const train = (...flags: string[]) => tweedie("train", ...SMALL.slice(0, -1), "webgpu", ...flags);
  expect((await train("--steps", "9", "--out", whole)).code).toBe(0);
  expect((await train("--steps", "4", "--out", parts)).code).toBe(0);
  expect((await train("--steps", "9", "--out", parts, "--resume")).code).toBe(0);
  expect(hash(join(parts, "checkpoint.safetensors"))).toBe(hash(join(whole, "checkpoint.safetensors")));
});

test("a resumed run continues bit for bit", async () => {
  const [whole, parts] = [join(work, "whole"), join(work, "parts")];
  expect((await tweedie("train", ...SMALL, "--steps", "9", "--out", whole)).code).toBe(0);
  expect((await tweedie("train", ...SMALL, "--steps", "4", "--out", parts)).code).toBe(0);
  const { code, out } = await tweedie(
    "train",
    "--data",
    data,
    "--backend",
    "cpu",
    "--resume",
    "--steps",
    "9",
    "--out",
    parts,
  );
  expect(code).toBe(0);
  expect(out).toContain("going on after step 4");
  expect(hash(join(parts, "checkpoint.safetensors"))).toBe(hash(join(whole, "checkpoint.safetensors")));
  const losses = (directory: string) =>
    readFileSync(join(directory, "log.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).loss as number);
  expect(losses(parts)).toEqual(losses(whole));
});

test("labels are learned, resumed bit for bit, and drawn with guidance", async () => {
  const [whole, parts] = [join(work, "labelled"), join(work, "labelled-parts")];
  // Fast, so that labels make a difference that 256 greys show.
  const fast = ["--lr", "0.03", "--warmup", "0", "--ema", "0"];
  const labelled = [...SMALL, ...fast, "--labels", "--label-dropout", "0.2"];
  const { code } = await tweedie("train", ...labelled, "--steps", "5", "--out", whole);
  expect(code).toBe(0);
  expect((await tweedie("train", ...labelled, "--steps", "2", "--out", parts)).code).toBe(0);
  const more = ["train", "--data", data, "--backend", "cpu", "--resume", "--out", parts];
  expect((await tweedie(...more, "--steps", "5")).code).toBe(0);
  const [path, resumed] = [whole, parts].map((directory) => join(directory, "checkpoint.safetensors"));
  expect(hash(resumed)).toBe(hash(path));
  const { tensors, metadata } = parseSafetensors(readFileSync(path));
  expect(JSON.parse(metadata.tweedie).settings).toMatchObject({ model: { classes: 10 }, labelDropout: 0.2 });
  // ten labels, and none
  expect(tensors.get("model.classes.weight")?.shape[0]).toBe(11);

  const draw = async (...flags: string[]) => {
    const drawn = join(work, "labelled-drawn");
    const run = await tweedie("sample", "--checkpoint", path, "--out", drawn, "--backend", "cpu", ...GRID, ...flags);
    expect(run.error).toBe("");
    return hash(join(drawn, "samples-ddim.png"));
  };
  const [unlabelled, seven, guided, others, ...unguided] = [
    await draw(),
    await draw("--label", "7"),
    await draw("--label", "7", "--guidance", "3"),
    await draw("--label", "7,1", "--guidance", "3"),
    await draw("--label", "7", "--guidance", "0"),
    await draw("--label", "1", "--guidance", "0"),
  ];
  expect(new Set([unlabelled, seven, guided, others]).size).toBe(4);
  expect(unguided[0]).toBe(unguided[1]);
});

test("Ctrl-C stops after the step, saves and says where; --resume goes on", async () => {
  const out = join(work, "stopped");
  const child = begin("train", ...SMALL, "--minutes", "5", "--out", out);
  const end = ended(child);
  child.stderr?.once("data", () => child.kill("SIGINT")); // the first progress line
  const { code, out: said } = await end;
  expect(code).toBe(130);
  expect(said).toMatch(/stopped; checkpoint after \d+ steps: .*checkpoint\.safetensors\ngo on with --resume\n$/);
  const done = Number(/after (\d+) steps/.exec(said)?.[1]);
  const next = await tweedie(
    "train",
    "--data",
    data,
    "--backend",
    "cpu",
    "--resume",
    "--steps",
    `${done + 1}`,
    "--out",
    out,
  );
  expect(next.code).toBe(0);
  expect(next.out).toContain(`going on after step ${done}`);
});

test("a closed standard output neither stops the training nor leaves it unsaved", async () => {
  const out = join(work, "unread");
  const child = begin("train", ...SMALL, "--steps", "6", "--out", out);
  child.stdout?.once("data", () => child.stdout?.destroy()); // as `| head -1` does
  const { code } = await ended(child);
  expect(code).toBe(0);
  const { metadata } = parseSafetensors(readFileSync(join(out, "checkpoint.safetensors")));
  expect(JSON.parse(metadata.tweedie).step).toBe(6);
});

test.each([
  ["SIGHUP", 129],
  ["SIGTERM", 143],
] as const)("%s saves too, and the exit code is %i", async (signal, wanted) => {
  const out = join(work, signal);
  const child = begin("train", ...SMALL, "--minutes", "5", "--out", out);
  const end = ended(child);
  child.stderr?.once("data", () => child.kill(signal));
  const { code, out: said } = await end;
  expect(code).toBe(wanted);
  const done = Number(/stopped; checkpoint after (\d+) steps/.exec(said)?.[1]);
  const { metadata } = parseSafetensors(readFileSync(join(out, "checkpoint.safetensors")));
  expect(JSON.parse(metadata.tweedie).step).toBe(done);
});

test("a kill at any moment leaves a whole checkpoint, and a run killed again and again ends with the bits of one that was not", async () => {
  const [out, alone] = [join(work, "killed"), join(work, "never-killed")];
  const lastStep = () =>
    JSON.parse(parseSafetensors(readFileSync(join(out, "checkpoint.safetensors"))).metadata.tweedie).step;
  expect((await tweedie("train", ...SMALL, "--steps", "1", "--out", out)).code).toBe(0);
  const resume = ["train", "--data", data, "--backend", "cpu", "--resume", "--out", out];
  for (let k = 0; k < repetitions("kills of a training"); k++) {
    const child = begin(...resume, "--minutes", "5", "--save-every", "0");
    const end = ended(child);
    const before = lastStep();
    // One in three while it begins, the others while it trains and saves.
    if (k % 3 > 0) await until(() => lastStep() > before);
    await new Promise((resolve) => setTimeout(resolve, k % 3 > 0 ? 7 * (k % 17) : 200 * (k % 7)));
    child.kill("SIGKILL");
    await end;
    expect(lastStep()).toBeGreaterThanOrEqual(before);
  }
  const steps = lastStep() + 1;
  expect((await tweedie(...resume, "--steps", `${steps}`)).code).toBe(0);
  expect((await tweedie("train", ...SMALL, "--steps", `${steps}`, "--out", alone)).code).toBe(0);
  const [killed, whole] = [out, alone].map((directory) => hash(join(directory, "checkpoint.safetensors")));
  expect(killed).toBe(whole);
});

test("--help explains every flag with its default", async () => {
  const { code, out } = await tweedie("start", "--help");
  expect(code).toBe(0);
  for (const line of [
    "--minutes <x>",
    "how long to train, in minutes (default 2)",
    "--resume",
    "--backend <best|webgpu|wasm|cpu>",
  ]) {
    expect(out).toContain(line);
  }
});

test("mistakes get one line and exit code 2, before anything is written", async () => {
  const corrupt = join(work, "corrupt");
  mkdirSync(corrupt);
  for (const name of [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
  ]) {
    writeFileSync(join(corrupt, name), readFileSync(join(data, name)).subarray(0, 20));
  }
  const nonsense = join(work, "nonsense.safetensors");
  writeFileSync(nonsense, "not a checkpoint");
  const out = join(work, "untouched");
  const cases: [string[], RegExp][] = [
    [["start", "--minuts", "1"], /minuts/],
    [["start", "--minutes", "soon"], /--minutes soon: want a number in/],
    [["start", "--minutes=-1"], /--minutes -1: want a number in/],
    [["train", "--diffusion-steps", "100000000"], /--diffusion-steps 100000000: want an integer in \[1, 100000\]/],
    [["train", "--blocks", "1e9"], /--blocks 1e9: want an integer in \[1, 100\]/],
    [["start", "--batch", "1.5"], /--batch 1.5: want an integer in/],
    [["start", "--schedule", "square"], /--schedule square: want linear or cosine/],
    [["start", "--backend", "cuda"], /--backend cuda: want best or webgpu or wasm or cpu/],
    [["start", "--multipliers", "1,two"], /--multipliers 1,two: want integers separated by commas/],
    [["start", "--channels", "5", "--data", data, "--backend", "cpu"], /unet: channels is 5, want an even number/],
    [
      ["train", "--data", data, "--backend", "cpu", "--channels", "4096", "--multipliers", "64"],
      /: \d+ bytes asked for .* want at most \d+/,
    ],
    [["start", "--data", join(work, "nowhere")], /nowhere/],
    [["start", "--data", corrupt], /train-images/],
    [["train", "--resume", "--data", data], /--resume: .*checkpoint\.safetensors is not there/],
    [["sample", "--checkpoint", nonsense], /nonsense\.safetensors: safetensors: /],
    [["sample", "--checkpoint", join(work, "missing.safetensors")], /missing\.safetensors/],
    [
      ["sample", "--checkpoint", join(work, "start/checkpoint.safetensors"), "--ddim-steps", "2000"],
      /--ddim-steps 2000: want at most the schedule's 1000/,
    ],
    [
      ["sample", "--ddim-steps", "0", "--ancestral-steps", "0"],
      /--ddim-steps 0 and --ancestral-steps 0: want one of them above 0/,
    ],
    [
      ["sample", "--sampler", "nonsense"],
      new RegExp(`--sampler nonsense: want ${solvers.map(({ name }) => name).join(" or ")}`),
    ],
    [["sample", "--steps", "5"], /--steps 5: want --sampler with it/],
    [["sample", "--sampler", "heun", "--ddim-steps", "5"], /--ddim-steps 5: want --steps with --sampler/],
    [["sample", "--sampler", "heun", "--steps", "2000"], /--steps 2000: want at most the schedule's 1000/],
    [["train", "--label-dropout", "0.2"], /--label-dropout 0.2: want --labels with it/],
    [["sample", "--guidance", "3"], /--guidance 3: want --label with it/],
    [
      ["sample", "--checkpoint", join(work, "start/checkpoint.safetensors"), "--label", "7"],
      /--label 7: want a network that was trained with --labels/,
    ],
    [
      ["start", ...SMALL, "--labels", "--label", "3,10"],
      /--label 3,10: want integers separated by commas, each in \[0, 9\]/,
    ],
    [["fly"], /fly: want one of start, train, sample, fid, export/],
    [[], /no command: want one of start, train, sample, fid, export/],
  ];
  for (const [flags, wanted] of cases) {
    const { code, error } = await tweedie(...flags, ...(flags.length > 0 && flags[0] !== "fly" ? ["--out", out] : []));
    expect(error, flags.join(" ")).toMatch(wanted);
    expect(error.trim().split("\n"), flags.join(" ")).toHaveLength(1);
    expect(code, flags.join(" ")).toBe(2);
  }
  expect(existsSync(join(out, "checkpoint.safetensors"))).toBe(false);
});

test("a checkpoint of another shape, or other settings with --resume, are refused and left as they are", async () => {
  const out = join(work, "other");
  expect((await tweedie("train", ...SMALL, "--steps", "1", "--out", out)).code).toBe(0);
  const path = join(out, "checkpoint.safetensors");
  const before = hash(path);
  const other = await tweedie("train", "--data", data, "--backend", "cpu", "--resume", "--batch", "9", "--out", out);
  expect([other.code, other.error]).toEqual([
    2,
    `error: --batch 9: ${path} was made with 8, want that or nothing with --resume; --from starts a new run from its weights\n`,
  ]);
  expect(hash(path)).toBe(before);

  const bytes = readFileSync(path);
  const changed = Buffer.from(bytes.toString("latin1").replace('\\"channels\\":4', '\\"channels\\":6'), "latin1");
  writeFileSync(path, changed);
  const misfit = await tweedie("train", "--data", data, "--backend", "cpu", "--resume", "--out", out);
  expect(misfit.error).toBe(`error: ${path}: settings.model.channels 6, want 4 as in its weights\n`);
  expect(misfit.code).toBe(2);
  expect(readFileSync(path).equals(changed)).toBe(true);
});
