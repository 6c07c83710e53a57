// How flags make the settings of a new run, of one that starts from weights, and of one that goes on.

import { MNIST_LABELS } from "../images/mnist.ts";
import { InputError } from "../inputError.ts";
import { mostStudentSteps } from "./fewStepObjectives.ts";
import { FLAGS, type FlagName, type FlagValues } from "./flags.ts";
import { networkFrom, networkName, networkOf, refuseForeign } from "./networks.ts";
import { type ObjectiveName, objectiveOf } from "./objectives.ts";
import { DECAY_NAMES, OPTIMIZER_NAMES } from "./optimizers.ts";
import type { Settings, Student } from "./settings.ts";

type Known = Partial<Record<FlagName, unknown>>;

/** What weights fix: flags for the network that they belong to. */
const networkOfFlags = (settings: Settings): Known => ({
  network: networkName(settings),
  ...networkOf(settings).told(settings.model),
  labels: settings.model.classes !== undefined,
  objective: settings.objective ?? "noise",
});

/** What a run that goes on has to keep besides: what it has learned to remove, and the images and draws that are next. */
const courseOf = (settings: Settings): Known => ({
  batch: settings.batch,
  accumulate: settings.accumulate ?? 1,
  schedule: settings.schedule,
  "diffusion-steps": settings.diffusionSteps,
  seed: settings.seed,
  "student-steps": settings.student?.steps ?? "none",
  optimizer: settings.optimizer ?? OPTIMIZER_NAMES[0],
  "ema-sigma-rel": settings.powerEma?.sigmaRels.join(",") ?? "",
  "ema-every": settings.powerEma?.every ?? "",
  "lr-schedule": settings.lrDecay?.schedule ?? "constant",
});

/** A number of the settings. */
interface Place {
  /** Undefined where there is none. */
  of(settings: Settings): number | undefined;
  with(settings: Settings, value: number): Settings;
}

const field = (name: "lr" | "warmup" | "clipNorm" | "emaDecay" | "labelDropout"): Place => ({
  of: (settings) => settings[name],
  with: (settings, value) => ({ ...settings, [name]: value }),
});

/** What a run that goes on may change. */
const CHANGEABLE = {
  lr: field("lr"),
  "lr-steps": {
    of: ({ lrDecay }) => lrDecay?.steps,
    with: (settings, steps) => (settings.lrDecay ? { ...settings, lrDecay: { ...settings.lrDecay, steps } } : settings),
  },
  warmup: field("warmup"),
  clip: field("clipNorm"),
  ema: field("emaDecay"),
  "label-dropout": field("labelDropout"),
} as const satisfies Partial<Record<FlagName, Place>>;

const changeable = Object.entries(CHANGEABLE) as [keyof typeof CHANGEABLE, Place][];

/**
 * The settings of a new run.
 * @param channels of the images
 * @throws InputError naming a flag that makes no sense beside the others
 */
export function settingsFrom(flags: FlagValues, channels: number): Settings {
  const isLabelled = flags.isOn("labels");
  const dropout = flags.given("label-dropout");
  if (dropout !== undefined && !isLabelled) throw new InputError(`--label-dropout ${dropout}: want --labels with it`);
  const objective = objectiveName(flags);
  if (objective === "progressive") throw new InputError("--objective progressive: want --from with it, its teacher");
  refuseStudentSteps(flags, objective);
  return {
    ...(objective !== "noise" && { objective }), // so that what was there before has the bytes that it had
    ...networkFrom(flags, {
      inChannels: channels,
      ...(isLabelled && { classes: MNIST_LABELS }),
      ...objectiveOf({ objective }).network,
    }),
    schedule: scheduleName(flags),
    diffusionSteps: flags.number("diffusion-steps"),
    ...trainingSettings(flags),
    ...(isLabelled && { labelDropout: flags.number("label-dropout") }),
  };
}

/**
 * The settings of a run that goes on: those of its checkpoint at `path`, changed by flags where that may be.
 * @throws InputError naming a flag that contradicts the checkpoint
 */
export function resumedSettings(settings: Settings, path: string, flags: FlagValues): Settings {
  refuseForeign(flags, networkName(settings));
  refuseOther(networkOfFlags(settings), path, flags, "--resume");
  refuseOther(courseOf(settings), path, flags, "--resume; --from starts a new run from its weights");
  if (flags.given("label-dropout") !== undefined && settings.model.classes === undefined) {
    throw new InputError(`--label-dropout ${flags.given("label-dropout")}: ${path} was made without --labels`);
  }
  if (flags.given("lr-steps") !== undefined && !settings.lrDecay) {
    throw new InputError(`--lr-steps ${flags.given("lr-steps")}: ${path} was made with --lr-schedule constant`);
  }
  const given = changeable.filter(([name]) => flags.given(name) !== undefined);
  return given.reduce((changed, [name, place]) => place.with(changed, flags.number(name)), settings);
}

/**
 * The settings of a new run that starts from the weights of a checkpoint at `path`, made with `settings`: its network, its noise schedule
 * unless flags give another, and all the rest by flags.
 * @throws InputError naming a flag that asks for another network
 */
export function settingsFromWeights(settings: Settings, path: string, flags: FlagValues): Settings {
  const isStudent = (flags.given("objective") ?? settings.objective) === "progressive";
  const { objective, ...network } = networkOfFlags(settings);
  refuseForeign(flags, networkName(settings));
  refuseOther(isStudent ? network : { ...network, objective }, path, flags, "--from");
  const isLabelled = settings.model.classes !== undefined;
  const dropout = flags.given("label-dropout");
  if (dropout !== undefined && !isLabelled)
    throw new InputError(`--label-dropout ${dropout}: ${path} was made without --labels`);
  checkSchedule(flags, settings);
  return {
    ...trainingSettings(flags),
    ...(isStudent
      ? { objective: "progressive", student: studentFrom(settings, path, flags) }
      : ownObjective(settings, flags)),
    ...(settings.network && { network: settings.network }),
    model: settings.model,
    schedule: flags.given("schedule") === undefined ? settings.schedule : scheduleName(flags),
    diffusionSteps:
      flags.given("diffusion-steps") === undefined ? settings.diffusionSteps : flags.number("diffusion-steps"),
    ...(isLabelled && { labelDropout: flags.number("label-dropout") }),
  };
}

/** Differences that flags made, as people read them: "lr 0.0001 instead of 0.001". */
export function changesBetween(before: Settings, after: Settings): string[] {
  return changeable
    .filter(([, place]) => place.of(before) !== place.of(after))
    .map(([name, place]) => `${name} ${place.of(after)} instead of ${place.of(before)}`);
}

/** The numbers that a run which goes on may change, by the names of their flags. */
export function changeableOf(settings: Settings): Record<string, number> {
  return Object.fromEntries(
    changeable.flatMap(([name, place]) => {
      const value = place.of(settings);
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function trainingSettings(
  flags: FlagValues,
): Omit<Settings, "network" | "model" | "objective" | "student" | "schedule" | "diffusionSteps"> {
  return {
    batch: flags.number("batch"),
    ...accumulationFrom(flags),
    lr: flags.number("lr"),
    ...decayFrom(flags),
    ...optimizerFrom(flags),
    warmup: flags.number("warmup"),
    clipNorm: flags.number("clip"),
    emaDecay: flags.number("ema"),
    ...powerEmaFrom(flags),
    seed: flags.number("seed"),
  };
}

/** @throws InputError for parts of unequal size */
function accumulationFrom(flags: FlagValues): Pick<Settings, "accumulate"> {
  const [accumulate, batch] = [flags.number("accumulate"), flags.number("batch")];
  if (batch % accumulate !== 0) throw new InputError(`--accumulate ${accumulate}: want a divisor of --batch ${batch}`);
  return accumulate === 1 ? {} : { accumulate };
}

/** @throws InputError for a decay without a length, and a length without a decay */
function decayFrom(flags: FlagValues): Pick<Settings, "lrDecay"> {
  const steps = flags.given("lr-steps") ?? flags.given("steps");
  const schedule = DECAY_NAMES.find((name) => name === flags.word("lr-schedule"));
  if (schedule === undefined) {
    if (flags.given("lr-steps") === undefined) return {};
    throw new InputError(
      `--lr-steps ${flags.given("lr-steps")}: want --lr-schedule ${DECAY_NAMES.join(" or ")} with it`,
    );
  }
  if (steps === undefined) throw new InputError(`--lr-schedule ${schedule}: want --lr-steps or --steps with it`);
  return { lrDecay: { schedule, steps: Number(steps) } };
}

/** @throws InputError for a length given twice, and a distance of snapshots without averages */
function powerEmaFrom(flags: FlagValues): Pick<Settings, "powerEma"> {
  const every = flags.given("ema-every");
  const given = flags.given("ema-sigma-rel");
  if (given !== undefined) {
    const sigmaRels = flags.numbers("ema-sigma-rel");
    if (new Set(sigmaRels).size < sigmaRels.length)
      throw new InputError(`--ema-sigma-rel ${given}: want each length once`);
    return { powerEma: { sigmaRels, every: flags.number("ema-every") } };
  }
  if (every !== undefined) throw new InputError(`--ema-every ${every}: want --ema-sigma-rel with it`);
  return {};
}

function optimizerFrom(flags: FlagValues): Pick<Settings, "optimizer"> {
  const optimizer = OPTIMIZER_NAMES.find((name) => name === flags.word("optimizer"));
  return optimizer === OPTIMIZER_NAMES[0] ? {} : { optimizer };
}

/** @throws InputError for flags of the noise schedule with an objective that has none */
function objectiveName(flags: FlagValues): ObjectiveName {
  const objective = flags.word("objective") as ObjectiveName; // one of its choices
  checkSchedule(flags, { objective });
  return objective;
}

function refuseStudentSteps(flags: FlagValues, objective: string): void {
  const given = flags.given("student-steps");
  if (given !== undefined && objective !== "progressive")
    throw new InputError(`--student-steps ${given}: want --objective progressive with it`);
}

function ownObjective({ objective }: Settings, flags: FlagValues): Pick<Settings, "objective"> {
  refuseStudentSteps(flags, objective ?? "noise");
  return objective ? { objective } : {};
}

/** The steps of a student whose teacher was not distilled itself. */
const FIRST_STUDENT = 8;

/** @throws InputError for a teacher that is no diffusion model or student, is asked to be of another schedule, or has other steps */
function studentFrom(settings: Settings, path: string, flags: FlagValues): Student {
  const { objective = "noise", student: before, diffusionSteps } = settings;
  if (!before && objective !== "noise" && objective !== "velocity" && objective !== "data")
    throw new InputError(
      `--objective progressive: ${path} was made with ${objective}, want noise, velocity, data or progressive`,
    );
  for (const [name, known] of Object.entries({ schedule: settings.schedule, "diffusion-steps": diffusionSteps })) {
    const given = flags.given(name as "schedule" | "diffusion-steps");
    if (given !== undefined && given !== `${known}`)
      throw new InputError(`--${name} ${given}: the teacher ${path} was made with ${known}, want that or nothing`);
  }
  if (before && before.steps % 2 !== 0)
    throw new InputError(`--objective progressive: ${path} draws in ${before.steps}, want a teacher of even steps`);
  const most = mostStudentSteps(diffusionSteps);
  const half = before ? before.steps / 2 : Math.min(FIRST_STUDENT, most);
  const steps = flags.given("student-steps") === undefined ? half : flags.number("student-steps");
  if (before && steps !== half)
    throw new InputError(`--student-steps ${steps}: ${path} draws in ${before.steps}, want half of that, ${half}`);
  if (steps > most) throw new InputError(`--student-steps ${steps}: want at most ${most} of ${diffusionSteps} steps`);
  return { steps, teacher: before ? "velocity" : (objective as Student["teacher"]) }; // as was just checked
}

function checkSchedule(flags: FlagValues, settings: Pick<Settings, "objective">): void {
  if (objectiveOf(settings).hasSchedule) return;
  for (const name of ["schedule", "diffusion-steps"] as const)
    if (flags.given(name) !== undefined)
      throw new InputError(`--${name} ${flags.given(name)}: want none with --objective ${settings.objective}`);
}

function scheduleName(flags: FlagValues): Settings["schedule"] {
  return flags.word("schedule") === "linear" ? "linear" : "cosine";
}

function refuseOther(fixed: Known, path: string, flags: FlagValues, flag: string): void {
  for (const [name, value] of Object.entries(fixed) as [FlagName, unknown][]) {
    const given = flags.given(name);
    const known = String(value);
    const isSame =
      given === undefined ||
      given === known ||
      ((FLAGS[name] as { range?: unknown }).range !== undefined && Number(given) === Number(known));
    if (isSame) continue;
    throw new InputError(`--${name} ${given}: ${path} was made with ${known}, want that or nothing with ${flag}`);
  }
}
