// An oracle along a path: what samplers are tried on.

import { expectArguments } from "../arguments.ts";
import type { NoisePath } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import type { Oracle } from "./oracle.ts";

/**
 * The same path, on which E[x₀ | x] and E[ε | x] of the oracle stand for whatever the model predicts.
 * @returns the path, and as `model` the one to sample with: it returns x, and nothing reads what it returns
 */
export function oraclePath<Path extends NoisePath>(path: Path, oracle: Oracle): Path & { readonly model: Model } {
  expectArguments("oraclePath", { path, oracle });
  return {
    ...path,
    model: { forward: (x) => x },
    isClipped: false,
    denoise: (_, x, level) => oracle.denoise(x, level),
    noise: (_, x, level) => oracle.predictNoise(x, level),
    score: (_, x, level) => oracle.score(x, level),
  };
}
