// Tables of the host in float64: schedules, noise levels, spaced steps, weights.
import {
  constant,
  cosine,
  exponential,
  fromAlphaBars,
  karras,
  type LossWeight,
  linear,
  minSnrWeight,
  p2Weight,
  polyexponential,
  posterior,
  posteriorLogVariance,
  quadratic,
  type Schedule,
  type Spacing,
  scaledLinear,
  sigmoid,
  snrWeight,
  spacedTimes,
  truncatedSnrWeight,
  variationalWeight,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import type { BitCase, BitCases } from "./digest.ts";

const schedules: Readonly<Record<string, Schedule>> = {
  linear: linear(100),
  "linear in float32": linear(100, { precision: "float32" }),
  quadratic: quadratic(100),
  scaledLinear: scaledLinear(100),
  cosine: cosine(100),
  sigmoid: sigmoid(100),
  constant: constant(100),
  "from signal": fromAlphaBars(Float64Array.from({ length: 20 }, (_, t) => 0.99 - t / 21)),
  "no signal at the end": zeroTerminalSnr(linear(100)),
};

const levels: Readonly<Record<string, readonly number[]>> = {
  karras: karras(18),
  exponential: exponential(18),
  polyexponential: polyexponential(18, { rho: 2 }),
};

const weights: Readonly<Record<string, LossWeight>> = {
  snr: snrWeight("noise"),
  "snr of velocity": snrWeight("velocity"),
  "truncated snr": truncatedSnrWeight("data"),
  "min snr": minSnrWeight(),
  p2: p2Weight(),
  variational: variationalWeight(),
};

function cases(): BitCases {
  const found: Record<string, BitCase> = {};
  for (const [name, schedule] of Object.entries(schedules)) {
    const { betas, alphaBars, noiseVariances, steps } = schedule;
    const all = Array.from({ length: steps - 1 }, (_, t) => t + 1);
    found[`schedule ${name}`] = async () => ({
      betas,
      alphaBars,
      noiseVariances,
      posterior: all.flatMap((t) => {
        const { fromData, fromNoisy, variance, beta } = posterior(schedule, t);
        return [fromData, fromNoisy, variance, beta];
      }),
      logVariances: all.map((t) => posteriorLogVariance(schedule, t)),
    });
  }
  for (const [name, sigmas] of Object.entries(levels)) found[`levels ${name}`] = async () => ({ sigmas });
  for (const [name, weight] of Object.entries(weights))
    found[`weight ${name}`] = async () => ({
      weights: Array.from({ length: 100 }, (_, t) => weight(schedules.linear, t)),
    });
  for (const spacing of ["leading", "linspace", "trailing"] satisfies Spacing[])
    found[`spacing ${spacing}`] = async () => ({ times: spacedTimes(1000, 7, spacing) });
  return found;
}

export const tables: BitCases = cases();
