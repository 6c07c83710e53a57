// The commands start, train, sample, fid and export as data; what they do stands in commands.ts.

import { answerOneOf, type Command, type FlagTable, runAsProgram } from "@pkg/command";
import { exportOnly, fidOnly, SAMPLE_FLAGS, sampleOnly, start, TRAIN_FLAGS, trainOnly } from "./commands.ts";
import { FLAGS, type FlagName, POST_HOC_LENGTH, SAMPLER_STEPS } from "./settings/flags.ts";

const STOPPING = `Ctrl-C, SIGTERM and a closed terminal end it after the present step, with what was trained saved; a second Ctrl-C at once.
Where standard output is closed or full, as by "| head", it goes on without messages: what it makes are files.`;

const START_FLAGS: readonly FlagName[] = [...TRAIN_FLAGS, ...SAMPLE_FLAGS];

export const COMMANDS: readonly Command<FlagName>[] = [
  {
    name: "start",
    about: "Draws with a trained DDPM, trains one on MNIST, and draws with that.",
    flags: tableOf(START_FLAGS),
    notes: STOPPING,
    run: start,
  },
  {
    name: "train",
    about: "Trains a network on MNIST: a DDPM, or what --objective names.",
    flags: tableOf(TRAIN_FLAGS),
    notes: STOPPING,
    run: trainOnly,
  },
  {
    name: "sample",
    about: "Samples from a checkpoint.",
    flags: {
      ...tableOf(["checkpoint", "out", "backend", "seed", ...SAMPLE_FLAGS, "sampler"]),
      steps: SAMPLER_STEPS,
      "ema-sigma-rel": POST_HOC_LENGTH,
    },
    run: sampleOnly,
  },
  {
    name: "fid",
    about:
      "Prints the Fréchet distance of images drawn from a checkpoint to test images, in a small classifier's features.",
    flags: {
      ...tableOf(["checkpoint", "out", "backend", "seed", "data", "label", "guidance", "sampler"]),
      count: {
        ...FLAGS.count,
        help: "images to draw; figures of other counts are no comparison",
        default: 2000,
        range: [2, 65_536],
      },
      steps: {
        ...SAMPLER_STEPS,
        help: "steps of the sampler; by default 50 of DDIM, or as few as the network draws in",
      },
    },
    notes:
      "The classifier is trained first, from one seed: the same data give the same features. A line of training images says what the least is.",
    onlyPrints: () => true,
    run: fidOnly,
  },
  {
    name: "export",
    about: "Writes the averaged weights of a checkpoint alone, in half precision: enough to sample.",
    flags: tableOf(["checkpoint", "out", "to"]),
    run: exportOnly,
  },
];

await runAsProgram(import.meta.url, (words) => answerOneOf(COMMANDS, words));

/** A command's part of the table; commands ask only for flags of theirs. */
function tableOf(names: readonly FlagName[]): FlagTable<FlagName> {
  return Object.fromEntries(names.map((name) => [name, FLAGS[name]])) as FlagTable<FlagName>;
}
