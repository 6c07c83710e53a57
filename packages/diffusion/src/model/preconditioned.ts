// EDM's preconditioning: a denoiser of any noise level from a network whose input and output have unit scale.

import { checkTimes, type Times } from "@pkg/nn";
import { Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { asColumn, checkPredicted, perSample } from "../objective/perSample.ts";
import type { Model } from "./model.ts";

/** EDM's coefficients at a noise level (Karras et al. 2022, table 1). */
export interface Preconditioning {
  /** c_skip = σ_d² / (σ² + σ_d²). */
  readonly skip: number;
  /** c_out = σ σ_d / √(σ² + σ_d²). */
  readonly out: number;
  /** c_in = 1 / √(σ² + σ_d²). */
  readonly in: number;
  /** c_noise = ln σ / 4, what the network is told. */
  readonly noise: number;
}

/** EDM's preconditioning at a noise level (Karras et al. 2022, table 1). @throws Error when σ or σ_d is not a positive number */
export function preconditioning(sigma: number, sigmaData = 0.5): Preconditioning {
  for (const [name, value] of Object.entries({ sigma, sigmaData })) {
    if (!(value > 0 && Number.isFinite(value)))
      throw new Error(`preconditioning: ${name} is ${value}, want a positive number`);
  }
  const scale = Math.hypot(sigma, sigmaData);
  return {
    skip: (sigmaData / scale) ** 2,
    out: (sigma * sigmaData) / scale,
    in: 1 / scale,
    noise: Math.log(sigma) / 4,
  };
}

/**
 * D(x; σ) = c_skip x + c_out F(c_in x; c_noise) of x = x₀ + σ ε (Karras et al. 2022, eq. 7): a model whose times are σ and whose
 * prediction is the data, as `sigmaPath` and `edmLoss` want it.
 * @param network F: what it predicts is a mix of x₀ and ε of unit variance
 * @param options sigmaData: σ_d, the standard deviation of the data, by default 0.5
 * @throws Error when σ_d is not a positive number, and on use for such a σ
 */
export function preconditioned<Network extends Model>(
  network: Network,
  options: { readonly sigmaData?: number } = {},
): Model & { readonly network: Network } {
  expectArguments("preconditioned", { network, options });
  const { sigmaData = 0.5 } = options;
  preconditioning(1, sigmaData); // refuses what is no deviation
  return {
    network,
    forward(x, sigmas, conditioning) {
      checkTimes("preconditioned", sigmas, x, { what: "σ", dtypes: ["float32"] });
      const { skip, out, in: scale, noise } = coefficients(x, sigmas, sigmaData);
      const output = network.forward(x.mul(scale), noise, conditioning);
      checkPredicted("preconditioned", output, x);
      return x.mul(skip).add(output.mul(out));
    },
  };
}

/** The coefficients of each sample, as columns, and what the network is told. */
interface Coefficients extends Record<Exclude<keyof Preconditioning, "noise">, Tensor> {
  readonly noise: Times;
}

/** In float64 for a list; for a tensor on the device, so that they can be differentiated by σ, and NaN where σ is negative. */
function coefficients(x: Tensor, sigmas: Times, sigmaData: number): Coefficients {
  if (sigmas instanceof Tensor) {
    const scale = sigmas
      .square()
      .add(sigmaData ** 2)
      .sqrt();
    const column = (values: Tensor) => asColumn(x, values);
    const inverse = scale.pow(-1);
    return {
      skip: column(inverse.mul(sigmaData).square()),
      out: column(sigmas.mul(sigmaData).mul(inverse)),
      in: column(inverse),
      noise: sigmas.log().mul(0.25),
    };
  }
  const each = (name: keyof Preconditioning) => sigmas.map((sigma) => preconditioning(sigma, sigmaData)[name]);
  const column = (name: keyof Preconditioning) => perSample(x, each(name));
  return { in: column("in"), noise: each("noise"), skip: column("skip"), out: column("out") };
}
