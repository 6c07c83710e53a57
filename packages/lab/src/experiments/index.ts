// The experiments, in the order of the documents.

import type { Experiment } from "../experiment.ts";
import { guidance } from "./guidance.ts";
import { parameterization } from "./parameterization.ts";
import { traceCost } from "./traceCost.ts";

export const experiments: readonly Experiment[] = [parameterization, traceCost, guidance];
