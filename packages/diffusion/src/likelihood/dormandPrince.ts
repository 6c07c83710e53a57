// Dormand and Prince's adaptive method of order 5(4) for ordinary differential equations of tensors.

import { Captures, stack, type Tensor, tidy } from "@pkg/tensor";

/** The tolerance of an adaptive ODE solver. */
export interface OdeOptions {
  /** Error allowed in a step relative to the state. Default 1e-5, as Song et al. 2021. */
  readonly rtol?: number;
  /** Error allowed in a step, in the state's unit. Default 1e-5. */
  readonly atol?: number;
  /** The most steps to try, those refused included. Default 1000. */
  readonly maxSteps?: number;
}

/** After an accepted step; the tensors live until the next is asked for, those of the last state until they are disposed. */
export interface OdeStep {
  readonly t: number;
  readonly state: readonly Tensor[];
  /** dy/dt there. */
  readonly slope: readonly Tensor[];
  /** Steps accepted so far. */
  readonly step: number;
  /** Steps tried and refused so far. */
  readonly refused: number;
  /** Calls of the field so far. */
  readonly evaluations: number;
}

/** How errors speak of an equation. */
export interface OdeNames {
  readonly time: string;
  readonly source: string;
}

/** dy/dt at (t, y), tensor by tensor. */
export type OdeField = (t: number, state: readonly Tensor[]) => readonly Tensor[];

/**
 * Integrates dy/dt = field(t, y), in either direction, and yields after every accepted step; the last one is at `to` exactly.
 * A step is accepted when each sample's root mean square of error / (atol + rtol · max(|y|, |y′|)), of each tensor, is at most 1: all
 * samples share their steps, and the worst decides, so that what joins a batch never makes others less exact. The next step follows
 * by a PI controller (Dormand & Prince 1980; Hairer, Nørsett & Wanner 1993, sections II.4 and IV.2). The error's norm is read back once
 * a step.
 * @param state tensors of [batch, ...] each; the field's are the same
 * @param names what errors call t, and what makes the slope
 * @throws Error for tolerances ≤ 0 and the like, for values that are not finite, and when maxSteps don't do
 */
export async function* dormandPrince(
  field: OdeField,
  state: readonly Tensor[],
  from: number,
  to: number,
  { rtol = 1e-5, atol = 1e-5, maxSteps = 1000 }: OdeOptions = {},
  { time, source }: OdeNames,
): AsyncGenerator<OdeStep, void, void> {
  checkOptions(from, to, { rtol, atol, maxSteps });
  const direction = Math.sign(to - from);
  const smallest = 16 * Number.EPSILON * Math.max(Math.abs(from), Math.abs(to));
  let t = from;
  let y = state.map((tensor) => tensor.detach());
  let slope: readonly Tensor[] = [];
  let size = FIRST_STEP * Math.abs(to - from);
  let [step, refused, evaluations, lastError] = [0, 0, 1, FIRST_ERROR];
  let wasRefused = false;
  const captures = new Captures("flow");
  try {
    slope = tidy(() => field(t, y));
    while (t !== to) {
      if (step + refused >= maxSteps) {
        throw new Error(
          `ode: ${maxSteps} steps from ${time} = ${from} got to ${t}, short of ${to}: want more maxSteps or tolerances above rtol ${rtol} and atol ${atol}`,
        );
      }
      const isLast = size >= Math.abs(to - t) - smallest;
      const next = isLast ? to : t + direction * size;
      const trial = captures.run(() => attempt(field, t, y, slope, next - t, { rtol, atol }));
      evaluations += STAGES - 1;
      const [error, faults] = await trial.report.data();
      trial.report.dispose();
      if (faults > 0 || error > 1) for (const tensor of [...trial.y, ...trial.slope]) tensor.dispose();
      if (faults > 0) {
        throw new Error(
          `ode: the slope between ${time} = ${t} and ${next}, made of ${source}, is NaN or infinite for ${faults} samples, want finite values`,
        );
      }
      if (error > 1) {
        size = Math.abs(next - t) * Math.max(LEAST_FACTOR, SAFETY * error ** -(1 / ORDER));
        refused++;
        wasRefused = true;
        continue;
      }
      for (const tensor of [...y, ...slope]) tensor.dispose();
      ({ y, slope } = trial);
      step++;
      const bounded = Math.max(error, 1e-10);
      const factor = SAFETY * bounded ** -(0.7 / ORDER) * lastError ** (0.4 / ORDER);
      const largest = wasRefused ? 1 : LARGEST_FACTOR; // no growth right after a refusal
      size = Math.abs(next - t) * Math.min(largest, Math.max(LEAST_FACTOR, factor));
      [lastError, wasRefused, t] = [Math.max(error, FIRST_ERROR), false, next];
      yield { t, state: y, slope, step, refused, evaluations };
    }
  } finally {
    captures.dispose();
    // The last state is the caller's; of a run that was left or failed none is.
    for (const tensor of t === to ? slope : [...slope, ...y]) tensor.dispose();
  }
}

/** The first step tried, as a share of the way. */
const FIRST_STEP = 0.01;
const FIRST_ERROR = 1e-4;
const SAFETY = 0.9;
const LEAST_FACTOR = 0.2;
const LARGEST_FACTOR = 5;
/** Of the solution that is kept. */
const ORDER = 5;

/** The stages' times; the last is the next step's first. */
const NODES = [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];
const STAGES = NODES.length;
const WEIGHTS = [
  [],
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
/** Of the fifth-order solution less those of the fourth-order one. */
const ERROR_WEIGHTS = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

/** A step tried: where it gets to, the slope there, and a report: the error in units of what is allowed, and how many have none. */
function attempt(
  field: OdeField,
  t: number,
  y: readonly Tensor[],
  first: readonly Tensor[],
  size: number,
  { rtol, atol }: { readonly rtol: number; readonly atol: number },
): { y: Tensor[]; slope: readonly Tensor[]; report: Tensor } {
  const slopes = [first];
  /** size · Σ_j weights_j slope_j of the k-th tensor. */
  const sum = (weights: readonly number[], k: number) =>
    weights.flatMap((weight, j) => (weight === 0 ? [] : [slopes[j][k].mul(size * weight)])).reduce((a, b) => a.add(b));
  let next: Tensor[] = [];
  for (let stage = 1; stage < STAGES; stage++) {
    next = y.map((tensor, k) => tensor.add(sum(WEIGHTS[stage], k)));
    slopes.push(field(t + NODES[stage] * size, next));
  }
  const errors = y.map((tensor, k) => {
    const allowed = tensor.abs().maximum(next[k].abs()).affine(rtol, atol);
    const relative = sum(ERROR_WEIGHTS, k).div(allowed).square();
    return relative.reshape([tensor.shape[0], -1]).mean(1).sqrt();
  });
  const each = errors.reduce((a, b) => a.add(b));
  const faults = each.isFinite().logicalNot().cast("float32").sum();
  const worst = errors.reduce((a, b) => a.maximum(b)).max();
  return { y: next, slope: slopes[STAGES - 1], report: stack([worst, faults]) };
}

function checkOptions(from: number, to: number, { rtol, atol, maxSteps }: Required<OdeOptions>): void {
  for (const [name, value] of Object.entries({ rtol, atol }))
    if (!(value > 0 && Number.isFinite(value))) throw new Error(`ode: ${name} is ${value}, want a positive number`);
  if (!(Number.isInteger(maxSteps) && maxSteps >= 1))
    throw new Error(`ode: maxSteps is ${maxSteps}, want a positive integer`);
  if (!(Number.isFinite(from) && Number.isFinite(to) && from !== to))
    throw new Error(`ode: from ${from} to ${to}, want two finite numbers`);
}
