// What a run can be trained to do, one list: --objective, its help and checks, the loss, and the samplers that draw follow from it.

import {
  discretePath,
  flowMatching,
  flowPath,
  type Model,
  type Prediction,
  predictionLoss,
  type Sampler,
  type Schedule,
  solverNamed,
} from "@pkg/diffusion";
import type { Labels, UnetConfig } from "@pkg/nn";
import type { RandomStream, Tensor } from "@pkg/tensor";
import { FEW_STEP_OBJECTIVES } from "./fewStepObjectives.ts";
import type { Student } from "./settings.ts";

/** What a step of training gets besides the model. */
export interface LossCall {
  /** Images, [batch, height, width, channels] in [−1, 1]. */
  readonly x0: Tensor;
  readonly rng: RandomStream;
  readonly schedule: Schedule;
  readonly labels?: Labels;
  /** Updates done. */
  readonly step: number;
  /** What a student learns from, and in how many steps it is to draw. */
  readonly student?: {
    readonly teacher: Model;
    readonly prediction: Student["teacher"];
    readonly steps: number;
  };
}

/** What a sampler of few steps is made of. */
export interface FewCall {
  readonly steps: number;
  readonly schedule: Schedule;
}

/** A grid that start and sample draw without --sampler, and the flag of its steps. */
export interface Grid {
  readonly sampler: string;
  readonly flag: "ddim-steps" | "ancestral-steps";
}

/** What a network learns, and how it draws then. */
export interface Objective {
  /** For --help. */
  readonly says: string;
  /** What its network has besides what flags say. */
  readonly network: Pick<UnetConfig, "timeEmbedding" | "numbers">;
  /** Whether the noise schedule is part of it: --schedule, --diffusion-steps, and a limit of the sampler's steps. */
  readonly hasSchedule: boolean;
  readonly grids: readonly Grid[];
  loss(model: Model, call: LossCall): Tensor;
  /** The sampler of a name; there where solvers can draw. @throws Error for one that does not go with the objective */
  sampler?(name: string, steps: number, schedule: Schedule): Sampler;
  /** The one sampler of a network that draws in few steps, instead. */
  few?(call: FewCall): Sampler;
  /** The network as that sampler calls it. Default: as it is. */
  drawn?(network: Model): Model;
}

/** By the names of --objective. A run whose settings name none has the first. */
export const OBJECTIVES = {
  noise: ofSchedule("noise", "the noise (DDPM)"),
  velocity: ofSchedule("velocity", "v of Salimans and Ho"),
  data: ofSchedule("data", "the image"),
  flow: {
    says: "the velocity of a straight flow",
    network: { timeEmbedding: { scale: 1000 } }, // its times are in [0, 1]
    hasSchedule: false,
    grids: [
      { sampler: "ddim", flag: "ddim-steps" },
      { sampler: "eulerAncestral", flag: "ancestral-steps" },
    ],
    loss: (model, { x0, rng, labels }) => flowMatching(model, x0, rng, { labels }),
    sampler: (name, steps) => onAnyPath(name)(flowPath({ steps, clip: true })),
  },
  ...FEW_STEP_OBJECTIVES,
} satisfies Readonly<Record<string, Objective>>;

export type ObjectiveName = keyof typeof OBJECTIVES;

export const OBJECTIVE_NAMES = Object.keys(OBJECTIVES) as readonly ObjectiveName[];

/** The objective of a run's settings. */
export function objectiveOf({ objective = "noise" }: { readonly objective?: ObjectiveName }): Objective {
  return OBJECTIVES[objective];
}

function ofSchedule(prediction: Exclude<Prediction, "mean" | "score" | "flow">, says: string): Objective {
  return {
    says,
    network: {},
    hasSchedule: true,
    grids: [
      { sampler: "ddim", flag: "ddim-steps" },
      { sampler: "ancestral", flag: "ancestral-steps" },
    ],
    loss: (model, { x0, rng, schedule, labels }) => predictionLoss(model, schedule, x0, rng, { prediction, labels }),
    sampler: (name, steps, schedule) => solverNamed(name)(discretePath(schedule, { steps, prediction, clip: true })),
  };
}

/** A solver by name, as one of any path: those of the steps of a schedule refuse others themselves. */
function onAnyPath(name: string): (path: ReturnType<typeof flowPath>) => Sampler {
  return solverNamed(name) as unknown as (path: ReturnType<typeof flowPath>) => Sampler;
}
