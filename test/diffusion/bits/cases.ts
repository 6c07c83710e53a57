// All cases by room, and where their digests are kept.
import { byTime } from "./conversions.ts";
import type { BitCases } from "./digest.ts";
import { draws } from "./draws.ts";
import { editing } from "./editing.ts";
import { fewSteps } from "./fewSteps.ts";
import { likelihoods } from "./likelihoods.ts";
import { losses } from "./losses.ts";
import { samples } from "./samples.ts";
import { scoreMatching } from "./scoreMatching.ts";
import { tables } from "./tables.ts";
import { training } from "./training.ts";

export const rooms: Readonly<Record<string, BitCases>> = {
  tables,
  draws,
  "by time": byTime,
  losses,
  "score matching": scoreMatching,
  samples,
  editing,
  likelihoods,
  training,
  "few steps": fewSteps,
};

/** Digests by room, case, backend and part. */
export type Golden = Record<string, Record<string, Record<string, Record<string, string>>>>;
