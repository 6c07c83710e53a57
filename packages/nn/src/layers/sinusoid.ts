// The sinusoidal embedding of times: exact rows for numbers of the host and for steps, sines on the device for a tensor of any times.

import { type Backend, concat, optionsOf, Tensor, tensor, wrongArgument } from "@pkg/tensor";
import { kept } from "../module/kept.ts";
import type { Times } from "../networks/times.ts";

/** How a number becomes sines and cosines. Plain data, as checkpoints store it. */
export interface SinusoidOptions {
  /** P, the longest period over 2π. Default 10,000. */
  readonly maxPeriod?: number;
  /** Which half comes first. Default "cosFirst", as DDPM's successors have it; "sinFirst" is Vaswani's and DDPM's own order. */
  readonly order?: "cosFirst" | "sinFirst";
  /** s: how much less than n the exponent is divided by, in [0, n). Default 0; 1 in DDPM's code (diffusers' `downscale_freq_shift`). */
  readonly shift?: number;
  /** What times are multiplied by. Default 1, for times on the scale of 0 … 1000; 1000 for times in [0, 1]. */
  readonly scale?: number;
}

/** The same, filled in. */
type Sinusoid = Required<SinusoidOptions>;

/**
 * [cos(c t f₀), …, cos(c t f_{n−1}), sin(c t f₀), …, sin(c t f_{n−1})] with f_k = P^(−k / (n − s)), n = channels / 2 and c the scale
 * (Vaswani et al. 2017).
 *
 * A list is computed in float64. A float32 tensor is embedded on the device, and can be differentiated by: its arguments c t f_k are
 * rounded to float32, which at t = 1000 makes an error of about 6e-5, as PyTorch's. An int32 tensor has the rows of a list with
 * `steps`, and NaN for a number outside of [0, steps); without `steps` it is embedded as float32.
 * @param times one per sample; lists hold finite numbers
 * @param channels even
 * @param options steps: T, how many rows of exact steps to keep on the backend for int32 tensors
 * @returns [batch, channels]
 * @throws Error naming the option that is out of range, and for a time in a list that is not finite
 */
export function sinusoidalEmbedding(
  times: Times,
  channels: number,
  options: SinusoidOptions & { readonly backend?: Backend; readonly steps?: number } = {},
): Tensor {
  const { backend, steps, ...form } = optionsOf("sinusoidalEmbedding", options, "{ backend }");
  const isTensor = times instanceof Tensor;
  if (!isTensor && !Array.isArray(times))
    throw wrongArgument("sinusoidalEmbedding", "times", times, "a list of numbers or a tensor, one per sample");
  if (!(Number.isInteger(channels) && channels > 0 && channels % 2 === 0)) {
    throw new Error(`sinusoidalEmbedding: ${channels} channels, want an even number of them`);
  }
  if (steps !== undefined && !(Number.isInteger(steps) && steps > 0))
    throw new Error(`sinusoidalEmbedding: steps is ${steps}, want a positive integer`);
  const sinusoid = checkSinusoid("sinusoidalEmbedding", form, channels);
  if (!isTensor) return tensor(rowsOf(times, channels, sinusoid), { backend, shape: [times.length, channels] });
  if (times.rank !== 1 || !(times.dtype === "float32" || times.dtype === "int32"))
    throw wrongArgument("sinusoidalEmbedding", "times", times, "float32 or int32 [batch]");
  if (times.dtype === "int32" && steps !== undefined)
    return stepTable(times.backend, steps, channels, sinusoid).gather(times);
  const frequencies = frequencyRow(times.backend, channels, sinusoid);
  const angles = (times.dtype === "int32" ? times.cast("float32") : times).unsqueeze(1).mul(frequencies);
  const halves = [angles.cos(), angles.sin()];
  return concat(sinusoid.order === "cosFirst" ? halves : halves.reverse(), 1);
}

/** @throws Error naming the option that is out of range */
export function checkSinusoid(name: string, options: SinusoidOptions, channels: number): Sinusoid {
  const { maxPeriod = 10_000, order = "cosFirst", shift = 0, scale = 1 } = options;
  if (!(maxPeriod > 0 && Number.isFinite(maxPeriod)))
    throw new Error(`${name}: maxPeriod is ${maxPeriod}, want a positive number`);
  if (order !== "cosFirst" && order !== "sinFirst")
    throw new Error(`${name}: order is "${order}", want cosFirst or sinFirst`);
  if (!(shift >= 0 && shift < channels / 2))
    throw new Error(`${name}: shift is ${shift}, want a number in [0, ${channels / 2}), half of the channels`);
  if (!Number.isFinite(scale) || scale === 0) throw new Error(`${name}: scale is ${scale}, want a finite number but 0`);
  return { maxPeriod, order, shift, scale };
}

function rowsOf(
  times: readonly number[],
  channels: number,
  { maxPeriod, order, shift, scale }: Sinusoid,
): Float32Array {
  const half = channels / 2;
  const [cos, sin] = order === "cosFirst" ? [0, half] : [half, 0];
  const table = new Float32Array(times.length * channels);
  const frequencies = Float64Array.from({ length: half }, (_, k) => maxPeriod ** (-k / (half - shift)));
  for (const [row, t] of times.entries()) {
    if (!Number.isFinite(t)) throw new Error(`sinusoidalEmbedding: times[${row}] is ${t}, want finite numbers`);
    if (row > 0 && Object.is(t, times[row - 1])) {
      table.copyWithin(row * channels, (row - 1) * channels, row * channels); // samplers ask at one time
      continue;
    }
    for (let k = 0; k < half; k++) {
      const angle = scale * t * frequencies[k];
      table[row * channels + cos + k] = Math.cos(angle);
      table[row * channels + sin + k] = Math.sin(angle);
    }
  }
  return table;
}

/** The rows of steps 0 … steps − 1, [steps, channels]. */
function stepTable(backend: Backend, steps: number, channels: number, sinusoid: Sinusoid): Tensor {
  return kept(backend, `sinusoid: steps ${JSON.stringify([steps, channels, sinusoid])}`, () => {
    const all = Array.from({ length: steps }, (_, t) => t);
    return tensor(rowsOf(all, channels, sinusoid), { backend, shape: [steps, channels] });
  });
}

/** c f_k, [n]. */
function frequencyRow(backend: Backend, channels: number, sinusoid: Sinusoid): Tensor {
  return kept(backend, `sinusoid: frequencies ${JSON.stringify([channels, sinusoid])}`, () => {
    const { maxPeriod, shift, scale } = sinusoid;
    const half = channels / 2;
    return tensor(
      Float64Array.from({ length: half }, (_, k) => scale * maxPeriod ** (-k / (half - shift))),
      { backend },
    );
  });
}
