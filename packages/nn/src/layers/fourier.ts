// Gaussian Fourier features of times: sines and cosines of frequencies that are drawn once and not trained.

import { concat, Tensor, tensor, wrongArgument } from "@pkg/tensor";
import type { Times } from "../networks/times.ts";

/** How times become Fourier features. Plain data, as checkpoints store it. */
export interface FourierOptions {
  /** The standard deviation of the frequencies. Default 16. */
  readonly scale?: number;
  /** Whether the logarithm of a time is embedded, as NCSN++ embeds σ. Default false. */
  readonly log?: boolean;
  /** Which half comes first. Default "sinFirst". */
  readonly order?: "cosFirst" | "sinFirst";
}

/**
 * [sin(2π f₀ t), …, cos(2π f₀ t), …], or of ln t (Tancik et al. 2020, arXiv:2006.10739; Song et al. 2021, NCSN++).
 * @param times one per sample, of logarithms positive
 * @param frequencies f, [channels / 2]
 * @returns [batch, channels]
 * @throws Error for a time in a list that has no logarithm where one is taken
 */
export function fourierEmbedding(times: Times, frequencies: Tensor, options: FourierOptions = {}): Tensor {
  if (!(frequencies instanceof Tensor)) throw wrongArgument("fourierEmbedding", "frequencies", frequencies, "a tensor");
  const { log = false, order = "sinFirst" } = options;
  if (!(times instanceof Tensor) && !Array.isArray(times))
    throw wrongArgument("fourierEmbedding", "times", times, "a list of numbers or a tensor, one per sample");
  const wrong = log && !(times instanceof Tensor) ? times.findIndex((time) => !(time > 0)) : -1;
  if (wrong !== -1 && !(times instanceof Tensor))
    throw new Error(`fourierEmbedding: times[${wrong}] is ${times[wrong]}, want positive numbers for their logarithms`);
  const given =
    times instanceof Tensor
      ? times.cast("float32")
      : tensor(Float64Array.from(times), { backend: frequencies.backend, shape: [times.length] });
  const angles = (log ? given.log() : given)
    .unsqueeze(1)
    .mul(frequencies)
    .mul(2 * Math.PI);
  const halves = [angles.sin(), angles.cos()];
  return concat(order === "sinFirst" ? halves : halves.reverse(), 1);
}

/** Refuses options out of range. @throws Error naming the option */
export function checkFourier(name: string, { scale = 16, log = false, order = "sinFirst" }: FourierOptions): void {
  if (!(scale > 0 && Number.isFinite(scale))) throw new Error(`${name}: scale is ${scale}, want a positive number`);
  if (typeof log !== "boolean") throw new Error(`${name}: log is ${log}, want true or false`);
  if (order !== "cosFirst" && order !== "sinFirst")
    throw new Error(`${name}: order is "${order}", want cosFirst or sinFirst`);
}
