// An oracle along a path: what samplers are tried on.

import { expectArguments } from "../arguments.ts";
import type { NoisePath } from "../forward/path.ts";
import type { Oracle } from "./oracle.ts";

/** The same path, on which E[x₀ | x] of the oracle answers whatever the model predicts: `sample` takes any model with it. */
export function oraclePath<Path extends NoisePath>(path: Path, oracle: Oracle): Path {
  expectArguments("oraclePath", { path, oracle });
  return {
    ...path,
    denoise: (_, x, level) => oracle.denoise(x, level),
    score: (_, x, level) => oracle.score(x, level),
  };
}
