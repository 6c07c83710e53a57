// The experiments, in the order of the documents.

import type { Experiment } from "../experiment.ts";
import { annealing } from "./annealing.ts";
import { bound } from "./bound.ts";
import { dataSets } from "./dataSets.ts";
import { flow } from "./flow.ts";
import { guidance } from "./guidance.ts";
import { guidanceVariants } from "./guidanceVariants.ts";
import { langevin } from "./langevin.ts";
import { lowDensity } from "./lowDensity.ts";
import { noiseIsScore } from "./noiseIsScore.ts";
import { oneStep } from "./oneStep.ts";
import { parameterization } from "./parameterization.ts";
import { traceCost } from "./traceCost.ts";

export const experiments: readonly Experiment[] = [
  dataSets,
  parameterization,
  bound,
  lowDensity,
  traceCost,
  langevin,
  annealing,
  noiseIsScore,
  guidance,
  guidanceVariants,
  flow,
  oneStep,
];
