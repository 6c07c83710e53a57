// The objectives whose networks draw in one call or a few, by samplers of their own.

import {
  consistencyFunction,
  consistencyLoss,
  consistencyMultistep,
  ddim,
  discretePath,
  discretisationSteps,
  exponential,
  improvedMeanFlowLoss,
  karras,
  type MeanFlowOptions,
  type Model,
  meanFlow,
  meanFlowLoss,
  type NoisePath,
  progressiveLoss,
  type Schedule,
  shortcut,
  shortcutLoss,
  sigmaPath,
} from "@pkg/diffusion";
import type { RandomStream, Tensor } from "@pkg/tensor";
import type { Objective } from "./objectives.ts";
import type { Student } from "./settings.ts";

/** Times in [0, 1] of networks that are differentiated by them: derivatives grow with the scale. */
const SLOW = { scale: 10 };

/** σ_min and the standard deviation of images in [−1, 1]; the largest σ; updates until consistency training has all of its levels. */
const SIGMAS = { sigmaMin: 0.002, sigmaData: 0.5 };
const SIGMA_MAX = 80;
const GROWTH = 8000;

export const FEW_STEP_OBJECTIVES = {
  meanflow: meanFlowOf(meanFlowLoss, "the mean velocity of a flow between two times"),
  "improved-meanflow": meanFlowOf(improvedMeanFlowLoss, "the same by a loss of the velocity"),
  shortcut: {
    says: "steps of a flow, each as two half as long",
    network: { timeEmbedding: { scale: 1000 }, numbers: { d: { scale: 1000 } } },
    hasSchedule: false,
    grids: [],
    loss: (model, { x0, rng, labels }) => shortcutLoss(model, x0, rng, { labels }),
    few: ({ steps }) => shortcut({ steps }),
  },
  consistency: {
    says: "one image for all noise levels of a trajectory",
    network: { timeEmbedding: { scale: 250 } }, // of ln σ / 4
    hasSchedule: false,
    grids: [],
    loss(network, { x0, rng, step, labels }) {
      const sigmas = karras(discretisationSteps(step, GROWTH), { min: SIGMAS.sigmaMin, max: SIGMA_MAX });
      return consistencyLoss(consistencyFunction(network, SIGMAS), x0, rng, { sigmas, labels });
    },
    few({ steps }) {
      const sigmas = steps === 1 ? [SIGMA_MAX] : exponential(steps, { min: 0.5, max: SIGMA_MAX });
      return consistencyMultistep(sigmaPath(sigmas), SIGMAS);
    },
    drawn: (network) => consistencyFunction(network, SIGMAS),
  },
  progressive: {
    says: "one step of DDIM as two of a teacher, which is --from",
    network: {},
    hasSchedule: true,
    grids: [],
    loss(model, { x0, rng, schedule, labels, student }) {
      if (!student) throw new Error("progressive: a step without a student, want its teacher and steps");
      const { steps, teacher, prediction } = student;
      return progressiveLoss(model, teacher, x0, rng, {
        path: studentPath(schedule, steps, "velocity"),
        teacherPath: studentPath(schedule, 2 * steps, prediction),
        teacherPrediction: prediction,
        clip: true,
        labels,
      });
    },
    few: ({ steps, schedule }) => ddim(studentPath(schedule, steps, "velocity")),
  },
} as const satisfies Readonly<Record<string, Objective>>;

/** The most steps that a student may have, since its teacher's are twice as many and differ. */
export function mostStudentSteps(diffusionSteps: number): number {
  return Math.max(1, Math.floor(firstTime(diffusionSteps) / 2));
}

/** Where DDIM's steps of a student stand, and every other of its teacher's: evenly, from the first that says something of the data on. */
function studentPath(
  schedule: Schedule,
  steps: number,
  prediction: Student["teacher"],
): NoisePath & { readonly schedule: Schedule } {
  const times = Array.from({ length: steps }, (_, k) => Math.round(firstTime(schedule.steps) * (1 - k / steps)));
  return discretePath(schedule, { times, prediction, clip: true });
}

/** 0.98 T: above it the noise says nothing of the data. */
function firstTime(diffusionSteps: number): number {
  return Math.min(Math.round(0.98 * diffusionSteps), diffusionSteps - 1);
}

function meanFlowOf(
  loss: (model: Model, x0: Tensor, rng: RandomStream, options: MeanFlowOptions) => Tensor,
  says: string,
): Objective {
  return {
    says,
    network: { timeEmbedding: SLOW, numbers: { r: SLOW } },
    hasSchedule: false,
    grids: [],
    loss: (model, { x0, rng, labels }) => loss(model, x0, rng, { share: 0.5, labels }),
    few: ({ steps }) => meanFlow({ steps }),
  };
}
