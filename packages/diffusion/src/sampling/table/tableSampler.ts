// Runs the table of a solver: here alone rows become tensors.

import { type Tensor, weightedSum } from "@pkg/tensor";
import type { NoiseLevel } from "../../forward/level.ts";
import { type NoisePath, readNoise, readScore } from "../../forward/path.ts";
import type { Sampler, SamplerCall } from "../sampler.ts";
import { checkedSteps } from "./checkedSteps.ts";
import { type Ask, kept, type StepTable } from "./step.ts";

/** @throws Error for a row that takes a quantity that is not there */
export function tableSampler(
  name: string,
  {
    levels,
    path,
    prior = path.prior,
    table,
  }: {
    readonly levels: readonly NoiseLevel[];
    readonly path: NoisePath;
    /** Default: the path's. */
    readonly prior?: number;
    readonly table: StepTable;
  },
): Sampler {
  const stepAt = checkedSteps(name, levels, table);
  return {
    levels,
    prior,
    step({ x, index, memory, predict, rng }) {
      const { rows, keep } = stepAt(index, memory.length);
      const found = new Map<string, Tensor>([["x", x], ...memory.map((tensor, k) => [kept(k), tensor] as const)]);
      const get = (quantity: string): Tensor => found.get(quantity) as Tensor; // the steps are checked
      for (const [quantity, row] of Object.entries(rows)) {
        if (typeof row === "string") found.set(quantity, get(row));
        else if ("sum" in row) found.set(quantity, weightedSum(Object.keys(row.sum).map(get), Object.values(row.sum)));
        else if ("draw" in row) found.set(quantity, rng.normal(x.shape, { backend: x.backend }));
        else for (const [suffix, value] of asked(path, row, get(row.ask), predict)) found.set(quantity + suffix, value);
      }
      return { x: get("next"), denoised: get("data"), memory: keep.map(get) };
    },
  };
}

/** What a call of the model gives, by what follows the name of its row. */
function asked(
  path: NoisePath,
  { at: level, reads }: Ask,
  x: Tensor,
  predict: SamplerCall["predict"],
): readonly (readonly [string, Tensor])[] {
  const predicted = predict(x, level);
  const data = ["", path.denoise(predicted, x, level)] as const;
  if (!reads) return [data];
  const read = reads === "score" ? readScore : readNoise;
  return [data, [`.${reads}`, read(path, predicted, x, level)]];
}
