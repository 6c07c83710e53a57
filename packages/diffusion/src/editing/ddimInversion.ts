// DDIM inversion: the probability-flow ODE from data to the noise that leads there.

import { expectArguments } from "../arguments.ts";
import type { NoisePath } from "../forward/path.ts";
import type { Sampler } from "../sampling/sampler.ts";
import { fallsFar } from "../sampling/table/levels.ts";
import { ask, type Row, sum } from "../sampling/table/step.ts";
import { tableSampler } from "../sampling/table/tableSampler.ts";
import { along, alongNoise, noiseIn } from "../sampling/table/terms.ts";

/**
 * From data to noise: x′ = signal′ x̂₀ + noise′ ε̂ (Song et al. 2021, section 4.3; Dhariwal & Nichol 2021, appendix F). ε̂ is the
 * model's at the level the step leads to, read there, since at the data there is none to ask for: first from x as it stands, then,
 * with more iterations, from the x′ of the one before. Their fixed point is what `euler` (DDIM) on the path takes back to x exactly.
 * Where σ rises far (`fallsFar`) the iterations go by x̂₀, which hardly depends on x′ there: by ε̂ they would need as many as σ′ / σ.
 * Give the data as `from`.
 * @param path the way of the samples; it is gone backwards
 * @param options iterations: calls of the model per step, by default 1
 * @throws Error unless iterations is a positive integer
 */
export function ddimInversion(path: NoisePath, options: { readonly iterations?: number } = {}): Sampler {
  expectArguments("ddimInversion", { path, options });
  const { iterations = 1 } = options;
  if (!(Number.isInteger(iterations) && iterations >= 1))
    throw new Error(`ddimInversion: iterations is ${iterations}, want a positive integer`);
  return tableSampler("ddimInversion", {
    levels: path.levels.toReversed(),
    path,
    prior: 0,
    table({ from, to }) {
      const rows: Record<string, Row> = {};
      const risesFar = from.noise > 0 && fallsFar({ from: to, to: from });
      for (let k = 1; k <= iterations; k++) {
        const guess = k === 1 ? "x" : `x${k - 1}`;
        rows[`data${k}`] = ask(guess, to);
        rows[`noise${k}`] = noiseIn(guess, `data${k}`, to);
        rows[`x${k}`] = risesFar ? along("x", `data${k}`, from, to) : alongNoise("x", [`noise${k}`], from, to);
      }
      const data = sum({ x: 1 / from.signal, [`noise${iterations}`]: -from.noise / from.signal });
      return { rows: { ...rows, data, next: `x${iterations}` } };
    },
  });
}
