// Runs whose networks draw in few steps: resumed bit for bit, drawn from in one, and what the flags refuse.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError, readArguments } from "@pkg/command";
import { cpu, wasm } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { averagedModel, drawImages } from "../../packages/cli/src/images/drawImages.ts";
import { COMMANDS } from "../../packages/cli/src/main.ts";
import { OBJECTIVE_NAMES, type ObjectiveName, objectiveOf } from "../../packages/cli/src/settings/objectives.ts";
import type { Settings } from "../../packages/cli/src/settings/settings.ts";
import { restoreRun, runFromWeights, saveRun } from "../../packages/cli/src/training/run.ts";
import { tweedie, writeSquares } from "./commandLine.ts";
import { partsOf, SMALL, savedAfter, smallRun, writeParts } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-few-steps-"));
afterAll(() => rmSync(work, { recursive: true }));

const size = { height: 8, width: 8 };

/** Writes a checkpoint with another header. */
function changed(path: string, to: string, change: (header: { settings: Record<string, unknown> }) => void): string {
  const { header, data } = partsOf(path);
  const own = JSON.parse(header.__metadata__.tweedie);
  change(own);
  writeParts(to, { ...header, __metadata__: { tweedie: JSON.stringify(own) } }, data);
  return to;
}

/** The message by which a command refuses its flags. */
async function refusal([name, ...words]: readonly string[]): Promise<string> {
  const command = COMMANDS.find((one) => one.name === name) ?? expect.fail(`no command ${name}`);
  try {
    const read = readArguments(command, words);
    if ("flags" in read) await command.run(read.flags, []);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  }
  return "";
}

const FEW = OBJECTIVE_NAMES.filter((objective) => objectiveOf({ objective }).few);

const settingsOf = (objective: ObjectiveName): Settings => ({
  ...SMALL,
  objective,
  ...(objective === "progressive" && { student: { steps: 2, teacher: "noise" as const } }),
  model: { ...SMALL.model, ...objectiveOf({ objective }).network },
});

test.each(FEW)("a run of %s goes on bit for bit, and draws", async (objective) => {
  const backend = await wasm({ threads: 1 });
  const settings = settingsOf(objective);
  const teacher = loadCheckpoint(await savedAfter(smallRun(backend), 1, join(work, "teacher.safetensors")), "train");
  const begin = () =>
    settings.student ? runFromWeights(teacher, settings, size, backend) : smallRun(backend, settings);
  const path = await savedAfter(begin(), 4, join(work, "whole.safetensors"));
  const whole = loadCheckpoint(path, "resume");
  const part = await savedAfter(begin(), 2, join(work, "part.safetensors"));
  const resumed = restoreRun(loadCheckpoint(part, "resume"), backend);
  expect(resumed.settings).toEqual(settings);
  const again = loadCheckpoint(await savedAfter(resumed, 4, join(work, "resumed.safetensors")), "resume");
  expect(again.groups).toEqual(whole.groups);
  expect(again.header.rng).toEqual(whole.header.rng);
  // A student's teacher stays as it was.
  if (settings.student) expect(whole.groups.get("teacher")).toEqual(teacher.groups.get("ema"));
  expect(whole.groups.get("model")).not.toEqual(loadCheckpoint(part, "resume").groups.get("model"));

  const model = averagedModel(settings, loadCheckpoint(path, "draw").tensors("ema", backend), backend);
  const request = { sampler: objective, steps: 2, count: 3, seed: 0, labels: [7], guidance: 2 };
  const pixels = await drawImages(model, settings, size, request, new AbortController().signal, () => {});
  expect(pixels).toHaveLength(3 * 64);
  expect(pixels?.every(Number.isFinite)).toBe(true);
  backend.dispose();
});

test("a checkpoint without its teacher is drawn from and refused to go on, and one of another objective's numbers is refused", async () => {
  const backend = cpu();
  const settings = settingsOf("progressive");
  const teacher = loadCheckpoint(await savedAfter(smallRun(backend), 1, join(work, "teacher.safetensors")), "train");
  const run = runFromWeights(teacher, settings, size, backend);
  const path = join(work, "orphan.safetensors");
  const { teacher: _, ...orphan } = run;
  await saveRun(path, orphan);
  expect(() => loadCheckpoint(path, "draw")).not.toThrow();
  expect(() => loadCheckpoint(path, "resume")).toThrow(
    /no tensors named teacher\.…, want model, ema, optimizer, teacher/,
  );
  await saveRun(path, run);
  const refused = (change: (header: { settings: Record<string, unknown> }) => void) => {
    const other = changed(path, join(work, "changed.safetensors"), change);
    expect(existsSync(other)).toBe(true);
    return () => loadCheckpoint(other, "resume");
  };
  expect(refused(({ settings }) => delete settings.student)).toThrow(
    /settings\.student missing, want one with progressive$/,
  );
  expect(refused(({ settings }) => Object.assign(settings, { objective: "meanflow" }))).toThrow(
    /settings\.student .*, want none with meanflow$/,
  );
  expect(refused(({ settings }) => Object.assign(settings, { objective: "magic" }))).toThrow(
    /settings\.objective "magic", want noise or velocity/,
  );
  expect(refused(({ settings }) => Object.assign(settings, { student: { steps: 5, teacher: "noise" } }))).toThrow(
    /settings\.student\.steps 5, want at most 4$/,
  );
  const flow = await savedAfter(smallRun(backend, settingsOf("meanflow")), 0, join(work, "flow.safetensors"));
  const bare = changed(flow, join(work, "bare.safetensors"), ({ settings }) => {
    delete (settings as { objective?: unknown }).objective;
  });
  expect(() => loadCheckpoint(bare, "draw")).toThrow(/settings\.model\.numbers \{"r":.*, want none with noise$/);
});

test("train --objective, sample --steps 1: the commands, and what they refuse", async () => {
  const data = join(work, "data");
  writeSquares(data);
  const at = (folder: string) => ["--backend", "cpu", "--out", join(work, folder)];
  const train = (folder: string, ...flags: readonly string[]) =>
    tweedie("train", "--data", data, "--batch", "4", "--steps", "1", ...at(folder), ...flags);
  const small = ["--channels", "2", "--multipliers", "1"];
  const file = (folder: string) => join(work, folder, "checkpoint.safetensors");

  const flow = await train("flow", ...small, "--objective", "meanflow");
  expect(flow.code, flow.error).toBe(0);
  expect(loadCheckpoint(file("flow"), "resume").header.settings).toMatchObject({
    objective: "meanflow",
    model: { numbers: { r: { scale: 10 } } },
  });
  const drawn = await tweedie("sample", ...at("flow"), "--steps", "1", "--count", "2");
  expect([drawn.code, drawn.out]).toEqual([0, expect.stringContaining("2 samples by meanflow in 1 step,")]);
  expect(existsSync(join(work, "flow", "samples-meanflow.png"))).toBe(true);

  expect((await train("teacher", ...small)).code).toBe(0);
  const from = ["--from", file("teacher"), "--objective", "progressive"];
  const student = await train("student", ...from, "--student-steps", "2");
  expect(student.code, student.error).toBe(0);
  const half = await train("half", "--from", file("student"));
  expect(half.code, half.error).toBe(0);
  expect(loadCheckpoint(file("half"), "resume").header.settings).toMatchObject({
    objective: "progressive",
    student: { steps: 1, teacher: "velocity" },
  });

  for (const [words, wanted] of [
    [["train", "--objective", "magic"], "--objective magic: want noise or velocity or"],
    [["train", "--objective", "progressive"], "--objective progressive: want --from with it, its teacher"],
    [["train", "--student-steps", "2"], "--student-steps 2: want --objective progressive with it"],
    [["train", ...from, "--student-steps", "491"], "--student-steps 491: want at most 490 of 1000 steps"],
    [
      ["train", ...from, "--schedule", "linear"],
      `--schedule linear: the teacher ${file("teacher")} was made with cosine`,
    ],
    [["train", "--from", file("student"), "--student-steps", "2"], "draws in 2, want half of that, 1"],
    [["train", "--from", file("half")], "draws in 1, want a teacher of even steps"],
    [
      ["train", "--from", file("flow"), "--objective", "progressive"],
      "was made with meanflow, want noise, velocity, data or progressive",
    ],
    [
      ["train", "--from", file("teacher"), "--objective", "shortcut"],
      "was made with noise, want that or nothing with --from",
    ],
    [["train", ...at("flow"), "--resume", "--objective", "shortcut"], "was made with meanflow, want that"],
    [["sample", ...at("flow"), "--sampler", "heun"], "--sampler heun: want --steps alone with a network of meanflow"],
    [["sample", ...at("flow"), "--ddim-steps", "9"], "--ddim-steps 9: want --steps alone"],
    [["sample", ...at("student"), "--steps", "3"], "--steps 3: want 2, which the network was distilled for"],
  ] as const) {
    const message = await refusal([...words, ...(words[0] === "train" ? ["--data", data, "--steps", "1"] : [])]);
    expect(message, words.join(" ")).toContain(wanted);
  }
});

test("the distilled weights that come with the project draw digits in one call", async () => {
  const { header, tensors } = loadCheckpoint("docs/mnist-one-step.safetensors", "draw");
  const { settings, image } = header;
  expect([settings.objective, settings.student?.steps, image]).toEqual(["progressive", 1, { height: 28, width: 28 }]);
  const backend = await wasm({ threads: 1 });
  const model = averagedModel(settings, tensors("ema", backend), backend);
  const request = { sampler: "progressive", steps: 1, count: 8, seed: 0, guidance: 1 };
  const pixels = await drawImages(model, settings, image, request, new AbortController().signal, () => {});
  const drawn = pixels ?? expect.fail("it was stopped");
  // MNIST's pixels are nearly all black or white; of noise 32 % would be within 0.4 of 0, and of what is black everywhere nothing white.
  const share = (is: (value: number) => boolean) => drawn.filter(is).length / drawn.length;
  expect(share((value) => Math.abs(value) < 0.4)).toBeLessThan(0.1);
  for (const k of Array.from({ length: 8 }).keys()) {
    const white = drawn.subarray(784 * k, 784 * (k + 1)).filter((value) => value > 0.4).length;
    expect(white / 784).toBeGreaterThan(0.03);
    expect(white / 784).toBeLessThan(0.4);
  }
  backend.dispose();
});
