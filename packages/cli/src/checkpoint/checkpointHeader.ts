// What a checkpoint holds beside tensors, and the schema that every header from a file passes first. Not what the tensors say of it.

import type { RandomState } from "@pkg/tensor";
import * as v from "valibot";
import { InputError } from "../inputError.ts";
import type { Network } from "../networks/network.ts";
import { mostStudentSteps } from "../settings/fewStepObjectives.ts";
import { FLAGS, type FlagName } from "../settings/flags.ts";
import { NETWORK_NAMES, NETWORKS, type NetworkName } from "../settings/networks.ts";
import { OBJECTIVE_NAMES, objectiveOf } from "../settings/objectives.ts";
import { DECAY_NAMES, OPTIMIZER_NAMES } from "../settings/optimizers.ts";
import type { Settings } from "../settings/settings.ts";
import { count, integer, number, oneOf, rate } from "./fields.ts";

/** What is not a tensor. */
export interface CheckpointHeader {
  readonly format: 1;
  readonly settings: Settings;
  /** Images are [height, width, settings.model.inChannels]. */
  readonly image: { readonly height: number; readonly width: number };
  /** Updates done. */
  readonly step: number;
  /** The state of the random stream that draws noise and times. */
  readonly rng: RandomState;
}

// Images of more pixels than these belong to no network that these commands train.
const LARGEST_EXTENT = 4096;

// What goes on counting from there has to be read again: no run comes from here to where numbers end.
const LARGEST_COUNT = 2 ** 52;

/** What the flag of that name may be. */
const asFlag = (
  name: FlagName &
    (
      | "accumulate"
      | "batch"
      | "lr"
      | "lr-steps"
      | "warmup"
      | "clip"
      | "ema-sigma-rel"
      | "ema-every"
      | "label-dropout"
      | "diffusion-steps"
      | "seed"
    ),
) => {
  const [low, high] = FLAGS[name].range;
  return "integer" in FLAGS[name] ? integer(low, high) : number(low, high);
};
/** What a header may be whose settings name this network. */
const headerOf = (network: Network) =>
  v.strictObject({
    format: v.literal(1, "1"),
    settings: v.strictObject({
      objective: v.exactOptional(oneOf(OBJECTIVE_NAMES)),
      student: v.exactOptional(
        v.strictObject({
          steps: count,
          teacher: v.picklist(["noise", "velocity", "data"], "noise, velocity or data"),
        }),
      ),
      network: v.exactOptional(oneOf(NETWORK_NAMES)),
      model: network.schema,
      schedule: oneOf(FLAGS.schedule.choices),
      diffusionSteps: asFlag("diffusion-steps"),
      batch: asFlag("batch"),
      accumulate: v.exactOptional(asFlag("accumulate")),
      lr: asFlag("lr"),
      lrDecay: v.exactOptional(
        v.strictObject({
          schedule: oneOf(DECAY_NAMES),
          steps: asFlag("lr-steps"),
        }),
      ),
      optimizer: v.exactOptional(oneOf(OPTIMIZER_NAMES)),
      warmup: asFlag("warmup"),
      clipNorm: asFlag("clip"),
      emaDecay: rate,
      powerEma: v.exactOptional(
        v.strictObject({
          sigmaRels: v.pipe(v.array(asFlag("ema-sigma-rel")), v.nonEmpty("a list of at least one")),
          every: asFlag("ema-every"),
        }),
      ),
      seed: asFlag("seed"),
      labelDropout: v.exactOptional(asFlag("label-dropout")),
    }),
    image: v.strictObject({ height: integer(1, LARGEST_EXTENT), width: integer(1, LARGEST_EXTENT) }),
    step: integer(0, LARGEST_COUNT),
    rng: v.strictObject({
      generator: v.literal("philox4x32-10", "philox4x32-10"),
      key: v.custom<string>((x) => typeof x === "string" && /^0x[0-9a-f]{1,16}$/.test(x), "up to 16 digits after 0x"),
      index: integer(0, LARGEST_COUNT),
    }),
  }) satisfies v.GenericSchema<unknown, CheckpointHeader>;

/** @throws InputError `path: field value, want …` for the first field that is missing, unknown or out of range */
export function parseHeader(path: string, text: string): CheckpointHeader {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw new InputError(`${path}: metadata ${shown(text)}, want JSON written by train or start`);
  }
  if (Array.isArray(header)) throw wrong(path, "metadata", header, "an object"); // which the schema would take for one
  const result = v.safeParse(headerOf(NETWORKS[networkIn(header)]), header, { abortEarly: true });
  if (result.success) {
    checkLabels(path, result.output);
    checkAccumulation(path, result.output);
    checkObjective(path, result.output);
    return result.output;
  }
  const [issue] = result.issues;
  throw wrong(path, v.getDotPath(issue) ?? "metadata", issue.path?.at(-1)?.value ?? issue.input, wantedBy(issue));
}

/** The network that a header names; of one that is wrong any, for its schema to say. */
function networkIn(header: unknown): NetworkName {
  const named = (header as { settings?: { network?: unknown } } | null)?.settings?.network;
  return NETWORK_NAMES.find((name) => name === named) ?? NETWORK_NAMES[0];
}

/** The error for a field of a header. */
export function wrong(path: string, field: string, value: unknown, wanted: string): InputError {
  return new InputError(`${path}: ${field} ${shown(value)}, want ${wanted}`);
}

function checkAccumulation(path: string, { settings: { batch, accumulate = 1 } }: CheckpointHeader): void {
  if (batch % accumulate === 0) return;
  throw wrong(path, "settings.accumulate", accumulate, `a divisor of settings.batch, ${batch}`);
}

function checkLabels(path: string, { settings: { model, labelDropout } }: CheckpointHeader): void {
  if ((model.classes === undefined) !== (labelDropout === undefined)) {
    const wanted = model.classes === undefined ? "none in a network without classes" : "one in a network with classes";
    throw wrong(path, "settings.labelDropout", labelDropout, wanted);
  }
}

/** @throws InputError for a student without progressive distillation, that without a student, and a network that is told other numbers */
function checkObjective(path: string, { settings }: CheckpointHeader): void {
  const { objective = "noise", student, model, diffusionSteps } = settings;
  if ((objective === "progressive") !== (student !== undefined))
    throw wrong(path, "settings.student", student, student ? `none with ${objective}` : "one with progressive");
  const most = mostStudentSteps(diffusionSteps);
  if (student && student.steps > most) throw wrong(path, "settings.student.steps", student.steps, `at most ${most}`);
  const [known, told] = [model, objectiveOf(settings).network].map(({ numbers = {} }) => Object.keys(numbers));
  if (`${known}` !== `${told}`)
    throw wrong(path, "settings.model.numbers", model.numbers, `${told.join(", ") || "none"} with ${objective}`);
}

function wantedBy({ type, expected, message }: v.BaseIssue<unknown>): string {
  if (type === "custom" || type === "literal" || type === "picklist" || type === "boolean") return message;
  if (type === "array") return "a list";
  return expected === "never" ? "no such field" : expected === "Object" ? "an object" : "a value";
}

/** A value of a header for an error message, on one line, cut when long. */
export function shown(value: unknown): string {
  const text = value === undefined ? "missing" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
