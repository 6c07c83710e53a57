// Masked diffusion on a text: it learns what the text has, goes on bit for bit, and refuses what is no text.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { answer } from "@pkg/command";
import { stateDict } from "@pkg/nn";
import { type Backend, cpu, wasm } from "@pkg/tensor";
import { afterAll, expect, test, vi } from "vitest";
import { readCharacters, unigramBits } from "../../packages/cli/src/text/characters.ts";
import { text as command } from "../../packages/cli/src/text/main.ts";
import {
  bitsPerCharacter,
  drawText,
  newTextRun,
  restoreTextRun,
  saveTextRun,
  textStep,
} from "../../packages/cli/src/text/textRun.ts";
import { type Ended, ended, hash } from "./commandLine.ts";
import { partsOf, writeParts } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-text-"));
afterAll(() => rmSync(work, { recursive: true }));
const root = fileURLToPath(new URL("../..", import.meta.url));
const file = join(work, "text.txt");
// Each character tells the next: one bit in three characters, which one of two words it is.
const words = Array.from({ length: 800 }, (_, k) => ((k * k + (k >> 3)) % 3 === 0 ? "abc" : "dfg")).join("");
writeFileSync(file, words);

const settings = {
  length: 12,
  channels: 16,
  depth: 1,
  heads: 2,
  batch: 16,
  lr: 1e-2,
  optimizer: "adamw",
  seed: 1,
} as const;

const BACKENDS: readonly [string, () => Backend | Promise<Backend>][] = [
  ["cpu", () => cpu()],
  ["wasm", () => wasm({ threads: 1 })],
];

test.each(BACKENDS)("a run on %s goes on bit for bit", async (_, open) => {
  const backend = await open();
  const characters = readCharacters([file], settings.length);
  const { length } = characters.kinds;
  const [path, whole] = [join(work, "part.safetensors"), join(work, "whole.safetensors")];
  const run = newTextRun(settings, length, backend);
  for (let k = 0; k < 6; k++) await textStep(run, characters.train);
  await saveTextRun(whole, run, "text");
  const begun = newTextRun(settings, length, backend);
  for (let k = 0; k < 3; k++) await textStep(begun, characters.train);
  await saveTextRun(path, begun, "text");
  const resumed = restoreTextRun(path, length, "text", backend);
  for (let k = 0; k < 3; k++) await textStep(resumed, characters.train);
  await saveTextRun(path, resumed, "text");
  expect(hash(path)).toBe(hash(whole));
  // What a header says is compared with the tensors before anything of that size is made.
  const { header, data } = partsOf(path);
  const own = JSON.parse(header.__metadata__["tweedie-text"]);
  own.settings.channels = 4096;
  own.settings.depth = 64;
  writeParts(path, { ...header, __metadata__: { "tweedie-text": JSON.stringify(own) } }, data);
  expect(() => restoreTextRun(path, length, "text", backend)).toThrow(
    /^.*part\.safetensors: model\..*, want \[.*4096\]/,
  );
  expect(() => restoreTextRun(path, length, "other", backend)).toThrow(`${path}: is of another text, want the --data`);
  expect(stateDict(resumed.model).size).toBeGreaterThan(10);
  backend.dispose();
});

test("a text is told from another by its characters, where files end included", () => {
  const read = (...parts: string[]) => {
    const paths = parts.map((part, k) => {
      const path = join(work, `part-${k}.txt`);
      writeFileSync(path, part);
      return path;
    });
    return readCharacters(paths, 1).digest;
  };
  expect(read("abababab", "cccccc")).not.toBe(read("ababababc", "ccccc"));
  expect(read("abababab", "cccccc")).toBe(read("abababab\ncccccc"));
});

test("a text whose characters tell each other is learned far below the frequencies of its characters", async () => {
  const backend = await wasm({ threads: 1 });
  const characters = readCharacters([file], settings.length);
  const run = newTextRun(settings, characters.kinds.length, backend);
  for (let k = 0; k < 300; k++) await textStep(run, characters.train);
  // By frequencies: ln-bits of six characters, about 2.5; the text itself has at most a bit in three characters, and the phase once a part.
  const bits = await bitsPerCharacter(run, characters.test);
  expect(unigramBits(characters)).toBeGreaterThan(2.4);
  expect(bits).toBeLessThan(1.2);
  const drawn = await drawText(run, characters, 12, 12);
  expect(drawn).toMatch(/^[abcdfg]{12}$/);
  const pairs = Array.from({ length: 11 }, (_, k) => drawn.slice(k, k + 2));
  expect(pairs.filter((pair) => words.includes(pair)).length).toBeGreaterThan(8);
  backend.dispose();
});

/** What the command says to a mistake, in this process. */
async function refused(...flags: string[]): Promise<{ code: number; error: string }> {
  let error = "";
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((said) => {
    error += said;
    return true;
  });
  try {
    return { code: await answer(command, flags), error };
  } finally {
    spy.mockRestore();
  }
}

test("the command trains, writes and goes on, and refuses what makes no sense", async () => {
  const text = (...flags: string[]): Promise<Ended> =>
    ended(spawn(process.execPath, ["tools/run.mjs", "packages/cli/src/text/main.ts", ...flags], { cwd: root }));
  const out = join(work, "out");
  const at = ["--data", file, "--out", out, "--backend", "cpu"];
  const small = [
    "--length",
    "12",
    "--channels",
    "8",
    "--depth",
    "1",
    "--heads",
    "2",
    "--batch",
    "2",
    "--characters",
    "5",
  ];
  const first = await text(...at, ...small, "--steps", "2");
  expect([first.code, first.out]).toEqual([
    0,
    expect.stringMatching(/held-out text: at most \d\.\d\d bits per character, 2\.\d\d by/),
  ]);
  expect(readFileSync(join(out, "sample.txt"), "utf8")).toMatch(/^[abcdfg]{5}$/);
  const more = await text(...at, "--resume", "--steps", "3", "--characters", "5");
  expect([more.code, more.out]).toEqual([0, expect.stringContaining("going on after step 2")]);
  const short = join(work, "short.txt");
  writeFileSync(short, "abc");
  writeFileSync(join(work, "binary.txt"), Uint8Array.of(0xff, 0xfe, 0xfd));
  for (const [flags, wanted] of [
    [["--resume", "--data", short], "3 characters, want at least 20"],
    [["--data", short], "3 characters, want at least 640"],
    [["--data", join(work, "binary.txt")], "want a text in UTF-8"],
    [["--data", join(work, "nowhere.txt")], "nowhere.txt"],
    [["--data", file, "--resume", "--lr", "0.1"], "--lr 0.1: want nothing with --resume, which takes that of"],
    [["--data", file, "--heads", "3"], "tokenTransformer: heads is 3, want half of a divisor of channels = 64"],
  ] as const) {
    const { code, error } = await refused("--out", out, "--backend", "cpu", ...flags);
    expect([code, error.trim().split("\n").length, error]).toEqual([2, 1, expect.stringContaining(wanted)]);
  }
  const unmade = join(work, "unmade");
  expect((await refused("--out", unmade, "--data", file, "--heads", "3")).code).toBe(2);
  expect(existsSync(unmade)).toBe(false);
  // The same bytes in other files are another text: a line ends where a file does.
  const digestOf = (...texts: string[]) => {
    const paths = texts.map((_, k) => join(work, `${k}.txt`));
    for (const [k, path] of paths.entries()) writeFileSync(path, texts[k]);
    return readCharacters(paths, 2).digest;
  };
  const rest = "cd".repeat(30);
  expect(digestOf(`abc${rest}`, rest)).not.toBe(digestOf("abc", `${rest}${rest}`));
  expect(digestOf(`abc\n${rest}`)).toBe(digestOf("abc", rest));
});
