// Consistency functions: networks made so that at the smallest noise they give back what they get.

import { checkTimes, type Times } from "@pkg/nn";
import { Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { asColumn, checkPredicted, perSample } from "../objective/perSample.ts";

/** The smallest noise of a consistency function, and the data's standard deviation. */
export interface ConsistencyOptions {
  /** σ_min, where f(x, σ_min) = x. Default 0.002. */
  readonly sigmaMin?: number;
  /** σ_d, the standard deviation of the data. Default 0.5. */
  readonly sigmaData?: number;
}

/** A consistency function, and the network in it. */
export interface ConsistencyFunction<Network extends Model> extends Model {
  /** The network F. */
  readonly network: Network;
  /** The level σ_min, where it gives back what it gets. */
  readonly sigmaMin: number;
}

/**
 * f(x, σ) = c_skip x + c_out F(c_in x, ln σ / 4) with c_skip = σ_d² / ((σ − σ_min)² + σ_d²), c_out = σ_d (σ − σ_min) / √(σ² + σ_d²) and
 * c_in = 1 / √(σ² + σ_d²), so that f(x, σ_min) = x (Song et al. 2023, appendix C; c_in and ln σ / 4 are EDM's). A model whose times are σ and whose prediction is the
 * data, as `consistencyLoss`, `consistencyDistillation` and a `sigmaPath` want it.
 * @param network F: what it predicts is of unit variance
 * @throws Error when σ_min or σ_d is not positive, and on use for a σ of a list below σ_min
 */
export function consistencyFunction<Network extends Model>(
  network: Network,
  options: ConsistencyOptions = {},
): ConsistencyFunction<Network> {
  expectArguments("consistencyFunction", { network, options });
  const { sigmaMin = 0.002, sigmaData = 0.5 } = options;
  for (const [name, value] of Object.entries({ sigmaMin, sigmaData }))
    if (!(value > 0 && Number.isFinite(value)))
      throw new Error(`consistencyFunction: ${name} is ${value}, want a positive number`);
  return {
    network,
    sigmaMin,
    forward(x, sigmas, conditioning) {
      checkTimes("consistencyFunction", sigmas, x, { what: "σ", dtypes: ["float32"] });
      const { skip, out, scale, told } = coefficients(x, sigmas, { sigmaMin, sigmaData });
      const output = network.forward(x.mul(scale), told, conditioning);
      checkPredicted("consistencyFunction", output, x);
      return x.mul(skip).add(output.mul(out));
    },
  };
}

/** c_skip, c_out and c_in as columns, and what the network is told. */
function coefficients(
  x: Tensor,
  sigmas: Times,
  { sigmaMin, sigmaData }: Required<ConsistencyOptions>,
): { skip: Tensor; out: Tensor; scale: Tensor; told: Times } {
  if (sigmas instanceof Tensor) {
    const above = sigmas.sub(sigmaMin);
    const inverse = sigmas
      .square()
      .add(sigmaData ** 2)
      .pow(-0.5);
    return {
      skip: asColumn(
        x,
        above
          .square()
          .add(sigmaData ** 2)
          .pow(-1)
          .mul(sigmaData ** 2),
      ),
      out: asColumn(x, above.mul(inverse).mul(sigmaData)),
      scale: asColumn(x, inverse),
      told: sigmas.log().mul(0.25),
    };
  }
  const below = sigmas.findIndex((sigma) => sigma < sigmaMin);
  if (below !== -1)
    throw new Error(`consistencyFunction: σ[${below}] is ${sigmas[below]}, want at least σ_min, ${sigmaMin}`);
  const column = (of: (sigma: number) => number) => perSample(x, sigmas.map(of));
  return {
    skip: column((sigma) => sigmaData ** 2 / ((sigma - sigmaMin) ** 2 + sigmaData ** 2)),
    out: column((sigma) => (sigmaData * (sigma - sigmaMin)) / Math.hypot(sigma, sigmaData)),
    scale: column((sigma) => 1 / Math.hypot(sigma, sigmaData)),
    told: sigmas.map((sigma) => Math.log(sigma) / 4),
  };
}
