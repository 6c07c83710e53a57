// How flags make the settings of a new run, and which flags a checkpoint fixes.

import { FLAGS, type FlagName, type FlagValues } from "./flags.ts";
import { InputError } from "./inputError.ts";
import { MNIST_LABELS } from "./mnist.ts";
import type { Settings } from "./settings.ts";

/** Flags that a checkpoint fixes: giving another value with --resume is an error. */
const SETTING_FLAGS: Partial<Record<FlagName, (settings: Settings) => unknown>> = {
  batch: (s) => s.batch,
  lr: (s) => s.lr,
  warmup: (s) => s.warmup,
  clip: (s) => s.clipNorm,
  ema: (s) => s.emaDecay,
  schedule: (s) => s.schedule,
  "diffusion-steps": (s) => s.diffusionSteps,
  channels: (s) => s.model.channels,
  multipliers: (s) => s.model.multipliers.join(","),
  blocks: (s) => s.model.blocks,
  attention: (s) => s.model.attentionLevels?.join(",") ?? "",
  labels: (s) => s.model.classes !== undefined,
  "label-dropout": (s) => s.labelDropout ?? "no labels",
  seed: (s) => s.seed,
};

/** The settings of a new run. @throws InputError naming a flag that makes no sense beside the others */
export function settingsFrom(flags: FlagValues): Settings {
  const isLabelled = flags.isOn("labels");
  const dropout = flags.given("label-dropout");
  if (dropout !== undefined && !isLabelled) throw new InputError(`--label-dropout ${dropout}: want --labels with it`);
  return {
    model: {
      inChannels: 1,
      channels: flags.number("channels"),
      multipliers: flags.numbers("multipliers"),
      blocks: flags.number("blocks"),
      attentionLevels: flags.numbers("attention"),
      ...(isLabelled && { classes: MNIST_LABELS }),
    },
    schedule: flags.word("schedule") === "linear" ? "linear" : "cosine",
    diffusionSteps: flags.number("diffusion-steps"),
    batch: flags.number("batch"),
    lr: flags.number("lr"),
    warmup: flags.number("warmup"),
    clipNorm: flags.number("clip"),
    emaDecay: flags.number("ema"),
    seed: flags.number("seed"),
    ...(isLabelled && { labelDropout: flags.number("label-dropout") }),
  };
}

/** @throws InputError when a flag contradicts the settings of the checkpoint at `path` */
export function refuseOtherSettings(settings: Settings, path: string, flags: FlagValues): void {
  for (const [name, setting] of Object.entries(SETTING_FLAGS) as [FlagName, (settings: Settings) => unknown][]) {
    const given = flags.given(name);
    const known = String(setting(settings));
    const isSame =
      given === undefined ||
      given === known ||
      ((FLAGS[name] as { range?: unknown }).range !== undefined && Number(given) === Number(known));
    if (!isSame)
      throw new InputError(`--${name} ${given}: ${path} was made with ${known}, want that or nothing with --resume`);
  }
}
