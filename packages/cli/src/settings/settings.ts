// What defines a training run: everything that must be the same for a resumed run to continue it. Plain data.

import { cosine, linear, type Schedule } from "@pkg/diffusion";
import type { NetworkConfig } from "../networks/network.ts";
import type { NetworkName } from "./networks.ts";
import type { ObjectiveName } from "./objectives.ts";
import type { DecayName, OptimizerName } from "./optimizers.ts";

/** A student of progressive distillation. */
export interface Student {
  /** Its steps of DDIM; its teacher takes twice as many. */
  readonly steps: number;
  /** What its teacher predicts. */
  readonly teacher: "noise" | "velocity" | "data";
}

export interface Settings {
  /** What the network learns. Default: the noise, as runs did before there was a choice. */
  readonly objective?: ObjectiveName;
  /** There where the objective is "progressive". */
  readonly student?: Student;
  /** The kind of network. Default: a U-Net. */
  readonly network?: NetworkName;
  readonly model: NetworkConfig;
  readonly schedule: "linear" | "cosine";
  /** T. */
  readonly diffusionSteps: number;
  /** Images a step. */
  readonly batch: number;
  /** Equal parts of the batch whose gradients add up, one in memory at a time. Default 1. */
  readonly accumulate?: number;
  /** The learning rate after warm-up. */
  readonly lr: number;
  /** How it falls, and in how many updates. Default: it does not. */
  readonly lrDecay?: { readonly schedule: DecayName; readonly steps: number };
  /** What makes steps of gradients. Default: AdamW. */
  readonly optimizer?: OptimizerName;
  /** Updates in which the learning rate rises. */
  readonly warmup: number;
  /** The longest gradient. */
  readonly clipNorm: number;
  /** The weight of the past in the average of the parameters. */
  readonly emaDecay: number;
  /** Power-function averages beside it: their lengths, and the updates between snapshots of them. Default: none. */
  readonly powerEma?: { readonly sigmaRels: readonly number[]; readonly every: number };
  readonly seed: number;
  /** The rate at which labels are left out; there where `model.classes` is. */
  readonly labelDropout?: number;
}

export function scheduleOf({ schedule, diffusionSteps }: Settings): Schedule {
  return schedule === "cosine" ? cosine(diffusionSteps) : linear(diffusionSteps);
}
