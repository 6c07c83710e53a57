// The networks that --network names: each trains, resumes bit for bit, starts others, is exported and drawn, in grey and in colour.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Backend, cpu, wasm } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { averagedModel } from "../../packages/cli/src/images/drawImages.ts";
import { loadMnist } from "../../packages/cli/src/images/mnist.ts";
import { writeGrid } from "../../packages/cli/src/images/sampleGrid.ts";
import { InputError } from "../../packages/cli/src/inputError.ts";
import { NETWORK_NAMES, type NetworkName } from "../../packages/cli/src/settings/networks.ts";
import type { Settings } from "../../packages/cli/src/settings/settings.ts";
import { newRun, restoreRun, trainStep } from "../../packages/cli/src/training/run.ts";
import { hash, tweedie, writeColours, writeSquares } from "./commandLine.ts";
import { rows } from "./pngRows.ts";
import { partsOf, SMALL, SMALL_DIT, savedAfter, smallRun, writeParts } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-networks-"));
afterAll(() => rmSync(work, { recursive: true }));
const [grey, colour] = [join(work, "grey"), join(work, "colour")];
writeSquares(grey);
writeColours(colour);

const SETTINGS: Readonly<Record<NetworkName, Settings>> = { unet: SMALL, dit: SMALL_DIT };
const BACKENDS: readonly [name: string, open: () => Backend | Promise<Backend>][] = [
  ["cpu", () => cpu()],
  ["wasm", () => wasm({ threads: 1 })],
];

test.each(BACKENDS.flatMap(([name, open]) => NETWORK_NAMES.map((network) => [network, name, open] as const)))(
  "a run of a %s goes on bit for bit on %s",
  async (network, _, open) => {
    const backend = await open();
    const settings = SETTINGS[network];
    const whole = await savedAfter(smallRun(backend, settings), 4, join(work, "whole.safetensors"));
    const part = await savedAfter(smallRun(backend, settings), 2, join(work, "part.safetensors"));
    const resumed = restoreRun(loadCheckpoint(part, "resume"), backend);
    const ended = loadCheckpoint(await savedAfter(resumed, 4, join(work, "resumed.safetensors")), "resume");
    expect(ended.groups).toEqual(loadCheckpoint(whole, "resume").groups);
    expect(ended.header.settings).toEqual(settings);
  },
);

const FLAGS = [
  "--network",
  "dit",
  "--objective",
  "velocity",
  "--patch",
  "8",
  "--width",
  "16",
  "--depth",
  "1",
  "--heads",
  "2",
];
const train = (data: string, name: string, ...flags: string[]) =>
  tweedie("train", "--data", data, "--backend", "wasm", "--batch", "4", "--out", join(work, name), ...flags);

test("on 32 × 32 colour images --network dit trains, resumes bit for bit, is exported, drawn and begun with", async () => {
  const [whole, part, to, out] = ["whole", "part", "exported.safetensors", "drawn"].map((name) => join(work, name));
  const trained = await train(colour, "whole", ...FLAGS, "--labels", "--steps", "4");
  expect(trained.error).toMatch(/step 4/);
  expect(trained.code).toBe(0);
  expect(trained.out).toMatch(/training a diffusion transformer of \d+ weights on 50 images of 32 × 32 in colour/);
  expect((await train(colour, "part", ...FLAGS, "--labels", "--steps", "2")).code).toBe(0);
  expect((await train(colour, "part", "--resume", "--steps", "4")).code).toBe(0);
  const checkpoint = join(whole, "checkpoint.safetensors");
  expect(hash(join(part, "checkpoint.safetensors"))).toBe(hash(checkpoint));
  expect((await tweedie("export", "--checkpoint", checkpoint, "--to", to)).code).toBe(0);
  const grid = ["--count", "4", "--ddim-steps", "2", "--ancestral-steps", "0", "--label", "1,2", "--guidance", "2"];
  expect((await tweedie("sample", "--checkpoint", to, "--out", out, "--backend", "wasm", ...grid)).code).toBe(0);
  expectColours(join(out, "samples-ddim.png"));
  expect((await train(colour, "from", "--from", to, "--steps", "1")).code).toBe(0);
  const { code, error } = await train(grey, "whole", "--resume", "--steps", "9");
  expect([code, error]).toEqual([2, "error: --data: images grey, want them in colour as in the checkpoint\n"]);
});

test("a U-Net trains on colour images too, and draws in colour", async () => {
  const backend = await wasm({ threads: 1 });
  const model = { ...SMALL.model, inChannels: 3 };
  const run = newRun({ ...SMALL, model }, { height: 32, width: 32 }, backend);
  const { train: colours } = loadMnist(colour);
  expect([colours.channels, colours.height, colours.count]).toEqual([3, 32, 50]);
  const losses = [await trainStep(run, colours), await trainStep(run, colours)];
  expect(losses.every(Number.isFinite)).toBe(true);
  const path = join(work, "unet.png");
  const request = { sampler: "ddim", steps: 2, count: 4, seed: 1, guidance: 1, path };
  await writeGrid(run.model, run.settings, run.image, request, new AbortController().signal, () => {});
  expectColours(path);
});

/** A grid of 2 × 2 images of 64 pixels with gaps of 2, in more colours than greys. */
function expectColours(path: string): void {
  const drawn = rows(readFileSync(path));
  expect([drawn.length, drawn[0].length]).toEqual([130, 3 * 130]);
  const pixels = drawn.flatMap((row) => Array.from({ length: 130 }, (_, x) => row.slice(3 * x, 3 * x + 3)));
  expect(pixels.some(([red, green, blue]) => red !== green || green !== blue)).toBe(true);
}

test.each<[flags: string[], said: string]>([
  [["--network", "dit", "--patch", "3"], "--patch 3: want a divisor of the images' 8 × 8"],
  [["--network", "dit", "--channels", "8"], "--channels 8: want --network unet with it"],
  [["--depth", "2"], "--depth 2: want --network dit with it"],
  [["--network", "dit", "--width", "10"], "--network dit: 4 heads of 10 channels, want a divisor"],
  [["--attention", "5"], "--network unet: attentionLevels has 5, want integers in [0, 2]"],
])("%o is refused before anything is written", async (flags, said) => {
  const { code, error } = await train(grey, "refused", ...flags);
  expect([code, error]).toEqual([2, `error: ${said}\n`]);
  expect(existsSync(join(work, "refused"))).toBe(false);
});

test("another network than the checkpoint's is refused, with --resume and with --from", async () => {
  const of = (...flags: string[]) => train(colour, "whole", "--steps", "9", ...flags);
  const path = join(work, "whole/checkpoint.safetensors");
  expect((await of("--resume", "--network", "unet")).error).toBe(
    `error: --network unet: ${path} was made with dit, want that or nothing with --resume\n`,
  );
  expect((await of("--from", path, "--width", "32")).error).toBe(
    `error: --width 32: ${path} was made with 16, want that or nothing with --from\n`,
  );
  expect((await of("--resume", "--blocks", "2")).error).toBe("error: --blocks 2: want --network unet with it\n");
});

test("a checkpoint that a weight contradicts is refused by the field", async () => {
  const backend = cpu();
  const good = await savedAfter(smallRun(backend, SMALL_DIT), 0, join(work, "good.safetensors"));
  const { header, data } = partsOf(good);
  const path = join(work, "changed.safetensors");
  const refusal = (
    change: (settings: { network?: unknown; model: Record<string, unknown> }, image: { width: number }) => void,
  ) => {
    const text = JSON.parse(header.__metadata__.tweedie);
    change(text.settings, text.image);
    writeParts(path, { ...header, __metadata__: { tweedie: JSON.stringify(text) } }, data);
    try {
      const checkpoint = loadCheckpoint(path, "draw");
      averagedModel(checkpoint.header.settings, checkpoint.tensors("ema", backend), backend);
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      return (error as Error).message.replace(`${path}: `, "");
    }
    return "";
  };
  const of = (field: string, value: unknown) => refusal(({ model }) => Object.assign(model, { [field]: value }));
  expect(refusal(() => {})).toBe("");
  expect(refusal((settings) => (settings.network = "mlp"))).toBe('settings.network "mlp", want unet or dit');
  expect(refusal((settings) => delete settings.network)).toBe("settings.model.multipliers missing, want a value");
  expect(refusal((_, image) => (image.width = 9))).toBe("settings.model.patch 4, want a divisor of the images' 8 × 9");
  expect(of("depth", 1e9)).toBe("settings.model.depth 1000000000, want 1 as in its weights");
  expect(of("channels", 16)).toBe("settings.model.channels 16, want 8 as in its weights");
  expect(of("patch", 2)).toBe("settings.model.inChannels 1, want 4 as in its weights");
  expect(of("classes", 9)).toBe("settings.model.classes 9, want 10 as in its weights");
  expect(of("timeChannels", undefined)).toBe("settings.model.timeChannels missing, want 4 as in its weights");
  expect(of("hidden", 64)).toBe("settings.model.hidden 64, want 32 as in its weights");
  expect(of("feedForward", "swiGlu")).toBe('settings.model.feedForward "swiGlu", want "gelu" as in its weights');
  expect(of("qkNorm", true)).toBe("settings.model.qkNorm true, want false as in its weights");
  expect(of("heads", 3)).toBe("settings.model: dit: 3 heads of 8 channels, want a divisor");
  expect(of("heads", 1e12)).toBe("settings.model.heads 1000000000000, want at most 8, the widest of its weights");
  expect(of("positions", "learned")).toBe('settings.model.positions "learned", want sinCos or rotary');
});
