// Averages of any length, after the training, from snapshots of power-function averages.

import { type Tensor, tidy, weightedSum, wrongArgument } from "@pkg/tensor";
import { Matrix, SingularValueDecomposition } from "ml-matrix";
import type { StateDict } from "../module/module.ts";
import { powerGamma } from "./ema.ts";

/** The average that `powerEma(…, sigmaRel)` is after `step` updates: its weights over the training. */
export interface Snapshot {
  /** The length, in (0, 1/√12]. */
  readonly sigmaRel: number;
  /** Updates, from 1. */
  readonly step: number;
}

/** A snapshot and its tensors. */
export interface EmaSnapshot extends Snapshot {
  /** `state()` of the average; called once, and only if it is needed. */
  state(): StateDict;
}

/** How snapshots make another average. */
export interface PostHocWeights {
  /** One for each snapshot; they add up to 1. */
  readonly weights: readonly number[];
  /** ‖Σ weight_k p_k − p‖ / ‖p‖ of the profiles p: how far the sum is from the average that was asked for. */
  readonly error: number;
}

/** The largest error of a length that snapshots span. */
const LARGEST_ERROR = 0.1;

/**
 * The weights of snapshots whose sum is nearest to another average, by least squares of the profiles p(τ) ∝ τ^γ on [0, step] (Karras et
 * al. 2024, EDM2, section 3.2), among those that add up to 1, so that parameters that stand still stay. EDM2's code solves without that
 * and divides by the sum.
 * @param snapshots of one training, at least one, in any order
 * @param wanted the length, and the step, which is by default that of the last snapshot
 * @throws Error for a length or step that the snapshots do not span: with an error above 0.1
 */
export function postHocWeights(
  snapshots: readonly Snapshot[],
  wanted: { readonly sigmaRel: number; readonly step?: number },
): PostHocWeights {
  if (!Array.isArray(snapshots) || snapshots.length === 0)
    throw wrongArgument("postHocWeights", "snapshots", snapshots, "a list of at least one snapshot");
  for (const [k, snapshot] of snapshots.entries()) {
    expectStep(`snapshots[${k}].step`, snapshot?.step);
    powerGamma(snapshot.sigmaRel, "postHocWeights", `snapshots[${k}].sigmaRel`);
  }
  if (typeof wanted !== "object" || wanted === null)
    throw wrongArgument("postHocWeights", "wanted", wanted, "{ sigmaRel }, with a step if it is not the last one");
  const last = Math.max(...snapshots.map(({ step }) => step));
  const { sigmaRel, step = last } = wanted;
  expectStep("step", step);
  if (step > last) throw new Error(`postHocWeights: step is ${step}, want at most ${last}, that of the last snapshot`);
  const known = snapshots.map(({ sigmaRel, step }) => ({ step, gamma: powerGamma(sigmaRel, "postHocWeights") }));
  const nearest = fitter(known, step);
  const found = nearest(powerGamma(sigmaRel, "postHocWeights"));
  if (found.error <= LARGEST_ERROR) return found;
  const spanned = LENGTHS.filter((length) => nearest(powerGamma(length)).error <= LARGEST_ERROR);
  const lengths =
    spanned.length > 0
      ? `one that the ${known.length} snapshots span, in [${spanned[0].toFixed(3)}, ${spanned[spanned.length - 1].toFixed(3)}]`
      : `more snapshots: these ${known.length} span none at step ${step}`;
  throw new Error(`postHocWeights: sigmaRel is ${sigmaRel}, want ${lengths}`);
}

/**
 * The average of another length, as if it had been kept: the sum of snapshots by `postHocWeights`.
 * @param snapshots states of `powerEma`s of one module; two lengths at each of some steps span what lies between and around them
 * @param wanted the length, and the step, which is by default that of the last snapshot
 * @returns new tensors, under the paths of the states
 * @throws Error as `postHocWeights` does, and for a `state` that is no function, before any state is asked for; Error for states of other
 * paths or shapes than the first's
 * @example
 * ```ts
 * import { type EmaSnapshot, linear, parameters, postHocEma, powerEma } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const init = { rng: randomStream(0), backend: cpu() };
 * const model = linear(1, 1, { ...init, bias: false });
 * const averages = [0.05, 0.1].map((sigmaRel) => ({ sigmaRel, average: powerEma(model, sigmaRel) }));
 * const snapshots: EmaSnapshot[] = [];
 * for (let step = 1; step <= 80; step++) {
 *   parameters(model)[0].assign(model.weight.mul(0).add(step)); // instead of a training: the weight is the step
 *   for (const { average } of averages) average.update();
 *   if (step % 10 > 0) continue;
 *   for (const { sigmaRel, average } of averages) {
 *     const kept = new Map([...average.state()].map(([path, value]) => [path, value.contiguous()]));
 *     snapshots.push({ sigmaRel, step, state: () => kept });
 *   }
 * }
 * const weight = postHocEma(snapshots, { sigmaRel: 0.08 }).get("weight");
 * console.log(((await weight?.item()) ?? 0).toFixed(0)); // 73
 * ```
 */
export function postHocEma(
  snapshots: readonly EmaSnapshot[],
  wanted: { readonly sigmaRel: number; readonly step?: number },
): Map<string, Tensor> {
  const { weights } = postHocWeights(snapshots, wanted);
  for (const [k, { state }] of snapshots.entries())
    if (typeof state !== "function")
      throw wrongArgument("postHocEma", `snapshots[${k}].state`, state, "a function that gives the state: () => state");
  return tidy(() => {
    let sum = new Map<string, Tensor>();
    const inOrder = [...snapshots.keys()].sort((a, b) => snapshots[a].step - snapshots[b].step);
    for (const k of inOrder) {
      sum = tidy(() => {
        const state = snapshots[k].state();
        if (!(state instanceof Map))
          throw wrongArgument("postHocEma", `snapshots[${k}].state()`, state, "a Map of tensors by path");
        if (k !== inOrder[0]) checkAlike(`snapshots[${k}].state()`, state, sum);
        const next = [...state].map(([path, value]): [string, Tensor] => {
          const so = sum.get(path);
          if (value.dtype !== "float32") return [path, value.detach()]; // a buffer: the last one
          return [path, so ? weightedSum([so, value], [1, weights[k]]) : weightedSum([value], [weights[k]])];
        });
        return new Map(next);
      });
    }
    return sum;
  });
}

/** Refuses a state of which the sum would be no average. @throws Error naming the path that one of them lacks, or whose shapes differ */
function checkAlike(what: string, state: StateDict, first: StateDict): void {
  for (const path of new Set([...first.keys(), ...state.keys()])) {
    const [given, wanted] = [state, first].map((tensors) => tensors.get(path));
    const show = (tensor: Tensor | undefined) => (tensor ? `${tensor}` : "none");
    if (`${given?.dtype} ${given?.shape}` !== `${wanted?.dtype} ${wanted?.shape}` || given?.backend !== wanted?.backend)
      throw new Error(
        `postHocEma: ${path} of ${what} is ${show(given)}, want ${show(wanted)} as in the first snapshot`,
      );
  }
}

/** Lengths to look for those that snapshots span. */
const LENGTHS = Array.from({ length: 120 }, (_, k) => 0.005 * (0.288 / 0.005) ** (k / 119));

function expectStep(at: string, step: unknown): void {
  if (!(Number.isInteger(step) && Number(step) >= 1)) throw wrongArgument("postHocWeights", at, step, "an integer ≥ 1");
}

interface Profile {
  readonly step: number;
  readonly gamma: number;
}

/** Least squares against the profiles of snapshots, of profiles at `step`. */
function fitter(known: readonly Profile[], step: number): (gamma: number) => PostHocWeights {
  // Products in units of 1 / step, beside which the row of ones is as large; the last unknown is the multiplier of Σ weights = 1.
  const gram = known.map((a) => known.map((b) => step * overlap(a, b)));
  const system = new Matrix([...gram.map((row) => [...row, 1]), [...known.map(() => 1), 0]]);
  const decomposed = new SingularValueDecomposition(system);
  return (gamma) => {
    const target = { step, gamma };
    const products = known.map((a) => step * overlap(a, target));
    const weights = decomposed
      .solve(Matrix.columnVector([...products, 1]))
      .to1DArray()
      .slice(0, -1);
    const square = step * overlap(target, target);
    const cross = weights.reduce((sum, w, k) => sum + w * products[k], 0);
    const own = weights.reduce(
      (sum, w, k) => sum + w * gram[k].reduce((row, value, j) => row + value * weights[j], 0),
      0,
    );
    return { weights, error: Math.sqrt(Math.max(0, square - 2 * cross + own) / square) };
  };
}

/**
 * ∫ p_a p_b dτ of p(τ) = (γ + 1) τ^γ / step^(γ+1) on [0, step]: (γ_a + 1)(γ_b + 1) (t_min/t_max)^γ / ((γ_a + γ_b + 1) t_max), with γ
 * that of the longer one (Karras et al. 2024, EDM2, eq. 151).
 */
function overlap(a: Profile, b: Profile): number {
  const [short, long] = a.step < b.step ? [a, b] : [b, a];
  const ratio = (short.step / long.step) ** long.gamma;
  return ((a.gamma + 1) * (b.gamma + 1) * ratio) / ((a.gamma + b.gamma + 1) * long.step);
}
