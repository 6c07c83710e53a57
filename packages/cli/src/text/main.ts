// `pnpm text`: learns a text character by character with masked diffusion, and writes a text of its own.

import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  answer,
  type Command,
  exitCodeOf,
  type FlagTable,
  type FlagValues,
  ForeseenError,
  runAsProgram,
  stopSignal,
} from "@pkg/command";
import { parameterCount } from "@pkg/nn";
import { shapesOnly } from "../checkpoint/stateShapes.ts";
import { writeFileAtomic } from "../files/atomicFile.ts";
import { checkpointIn, makeDirectory, moveRunAside } from "../files/outDirectory.ts";
import { lockRun, type RunLock } from "../files/runLock.ts";
import { InputError, readingInput } from "../inputError.ts";
import { openBackend } from "../openBackend.ts";
import { say } from "../say.ts";
import { FLAGS as SHARED } from "../settings/flags.ts";
import { OPTIMIZER_NAMES } from "../settings/optimizers.ts";
import { progress } from "../training/progress.ts";
import { type Characters, readCharacters, unigramBits } from "./characters.ts";
import {
  bitsPerCharacter,
  drawText,
  newTextRun,
  restoreTextRun,
  saveTextRun,
  type TextRun,
  textStep,
} from "./textRun.ts";

const FLAGS = {
  data: { help: "a text in UTF-8; given more than once, one after another (by default README.md)", isRepeated: true },
  out: { help: "the folder of the run; an earlier one in it is moved into earlier-1, …", default: "out/text" },
  resume: { help: "go on from the checkpoint in --out, with its settings", isSwitch: true },
  steps: { help: "train until so many steps are done", default: 1000, range: [1, 1e9], integer: true },
  backend: SHARED.backend,
  batch: { help: "parts of the text a step", default: 16, range: [1, 4096], integer: true },
  length: { help: "characters of a part", default: 64, range: [2, 4096], integer: true },
  channels: { help: "channels of the transformer", default: 64, range: [2, 4096], integer: true },
  depth: { help: "blocks of the transformer", default: 2, range: [1, 64], integer: true },
  heads: { help: "heads of its attention", default: 4, range: [1, 64], integer: true },
  lr: { help: "the learning rate", default: 3e-3, range: [0, 1] },
  optimizer: { ...SHARED.optimizer, default: "muon" },
  seed: SHARED.seed,
  characters: { help: "characters to draw at the end", default: 256, range: [1, 4096], integer: true },
} as const satisfies FlagTable;
type TextFlag = keyof typeof FLAGS;

/** What a checkpoint has, and a run that goes on takes from there. */
const FIXED = [
  "batch",
  "length",
  "channels",
  "depth",
  "heads",
  "lr",
  "optimizer",
  "seed",
] as const satisfies TextFlag[];

/** Steps between checkpoints. */
const SAVE_EVERY = 200;

export const text: Command<TextFlag> = {
  name: "text",
  about: "Trains masked diffusion on the characters of a text, and writes a text of its own.",
  flags: FLAGS,
  notes: "Ctrl-C ends it after the present step, with what was trained saved.",
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(text, words));

async function main(flags: FlagValues<TextFlag>): Promise<number> {
  const signal = stopSignal();
  const out = flags.word("out");
  const path = checkpointIn(out);
  const isResumed = flags.isOn("resume");
  if (isResumed && !existsSync(path))
    throw new InputError(`--resume: ${path} is not there, want a checkpoint in --out`);
  const given = isResumed ? FIXED.find((name) => flags.given(name) !== undefined) : undefined;
  if (given)
    throw new InputError(`--${given} ${flags.given(given)}: want nothing with --resume, which takes that of ${path}`);
  const files = flags.words("data").length > 0 ? flags.words("data") : ["README.md"];
  const characters = readCharacters(files, isResumed ? 2 : flags.number("length"));
  const vocabulary = characters.kinds.length;
  if (!isResumed) newTextRun(settingsFrom(flags), vocabulary, shapesOnly); // refused before the folder is made
  makeDirectory(out);
  const lock = await lockRun(out);
  try {
    const backend = await openBackend(flags as unknown as Parameters<typeof openBackend>[0]); // it asks for --backend alone
    const hash = characters.digest;
    const run = isResumed
      ? restoreTextRun(path, vocabulary, hash, backend)
      : newTextRun(settingsFrom(flags), vocabulary, backend);
    const aside = isResumed ? undefined : readingInput(() => moveRunAside(out));
    if (aside !== undefined) say(`the earlier run in ${out} is now in ${aside}`);
    await trained(run, characters, { path, hash, lock, steps: flags.number("steps") }, signal);
    if (signal.aborted) {
      say(`stopped; checkpoint after ${run.optimizer.steps} steps: ${path}\ngo on with --resume`);
      return exitCodeOf(signal);
    }
    await tell(run, characters, out, flags.number("characters"));
    return 0;
  } finally {
    lock.release();
  }
}

interface Plan {
  readonly path: string;
  readonly hash: string;
  readonly lock: RunLock;
  readonly steps: number;
}

/** Trains until so many steps are done or `signal` aborts, and saves. @throws ForeseenError for a loss that is not finite */
async function trained(run: TextRun, { train, kinds }: Characters, plan: Plan, signal: AbortSignal): Promise<void> {
  const { optimizer, settings } = run;
  const firstStep = optimizer.steps;
  say(
    `training a transformer of ${parameterCount(run.model)} weights on ${train.length} characters of ${kinds.length} kinds` +
      `${firstStep > 0 ? `, going on after step ${firstStep}` : ""}`,
  );
  const save = async (): Promise<void> => {
    plan.lock.hold();
    await saveTextRun(plan.path, run, plan.hash);
  };
  const display = progress({ steps: plan.steps }, { firstStep, unit: "parts" });
  try {
    while (optimizer.steps < plan.steps && !signal.aborted) {
      const step = optimizer.steps;
      const loss = await textStep(run, train);
      if (!Number.isFinite(loss))
        throw new ForeseenError(`the loss of step ${step} is ${loss}: the learning rate is too high`);
      display.update({ step: step + 1, loss, samples: (step + 1 - firstStep) * settings.batch });
      if (optimizer.steps % SAVE_EVERY === 0) await save();
      await new Promise(setImmediate); // lets signals in
    }
    await save();
  } finally {
    display.stop();
  }
}

/** Says how good the run is, and writes a text. */
async function tell(run: TextRun, characters: Characters, out: string, count: number): Promise<void> {
  const bits = await bitsPerCharacter(run, characters.test);
  say(
    `held-out text: at most ${bits.toFixed(2)} bits per character, ${unigramBits(characters).toFixed(2)} by the frequencies of characters alone`,
  );
  const drawn = await drawText(run, characters, count, Math.min(count, 256));
  const file = join(out, "sample.txt");
  writeFileAtomic(file, new TextEncoder().encode(drawn));
  say(`${drawn}\n${count} characters: ${file}`);
}

function settingsFrom(flags: FlagValues<TextFlag>): TextRun["settings"] {
  const [length, channels, depth, heads, batch, lr, seed] = (
    ["length", "channels", "depth", "heads", "batch", "lr", "seed"] as const
  ).map((name) => flags.number(name));
  const optimizer = OPTIMIZER_NAMES.find((name) => name === flags.word("optimizer")) ?? OPTIMIZER_NAMES[0];
  return { length, channels, depth, heads, batch, lr, optimizer, seed };
}
