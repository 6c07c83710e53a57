// A step of a solver as data: the quantities that it computes, in order, the next x and the memory among them.

import type { NoiseLevel } from "../../forward/level.ts";

/** Σ weight · quantity by the quantities' names, in the order of addition: { x: 0.9, data: 0.1 }. Terms of weight 0 are left out if there are others. */
export type Terms = Readonly<Record<string, number>>;

/** A call of the model: x̂₀ of a quantity at a level. With `reads`, also ε̂ or the score of the same call, as `<name>.noise`, `<name>.score`. */
export interface Ask {
  /** The name of the quantity that stands at the level. */
  readonly ask: string;
  /** The level at which the model is asked. */
  readonly at: NoiseLevel;
  /** What else to read from the same prediction. */
  readonly reads?: "noise" | "score";
}

/** A weighted sum of quantities that are known. */
export interface Sum {
  /** The weights of the quantities. */
  readonly sum: Terms;
}

/** New noise of x's shape, drawn at this row's place in the order. */
export interface Draw {
  /** The distribution of the noise. */
  readonly draw: "normal";
}

/** How a quantity is computed; a name alone is the quantity of that name. */
export type Row = Ask | Sum | Draw | string;

/**
 * One step of a general linear method (Butcher 2006), with noise. Each row computes a quantity from x, memory[0], memory[1], … and the
 * rows above it. Each row is one dispatch, so the table determines the result to the last bit.
 */
export interface SolverStep {
  /** The quantities in the order of computation. */
  readonly rows: {
    /** x̂₀, the estimate of the data that the step shows. */
    readonly data: Row;
    /** x at the next level. */
    readonly next: Row;
    /** Rows that are undefined are left out. */
    readonly [name: string]: Row | undefined;
  };
  /** The names of the quantities that the next step gets as memory[0], memory[1], …. Default: none. */
  readonly keep?: readonly string[];
}

/** Where a step stands. */
export interface StepPlace {
  /** The index of the step in the run, from 0. */
  readonly index: number;
  /** The level of x. */
  readonly from: NoiseLevel;
  /** The level of the next x. */
  readonly to: NoiseLevel;
  /** How many tensors the step before kept: 0 at the first step, and where a run starts without memory. */
  readonly remembered: number;
}

/** The steps of a solver on a path: a pure function of the place. */
export type StepTable = (place: StepPlace) => SolverStep;

/** A call of the model as a row. */
export function ask(quantity: string, at: NoiseLevel, reads?: Ask["reads"]): Ask {
  return reads ? { ask: quantity, at, reads } : { ask: quantity, at };
}

/** A weighted sum as a row. */
export function sum(terms: Terms): Sum {
  return { sum: terms };
}

/** A draw of noise as a row. */
export const draw: Draw = { draw: "normal" };

/** The name of the k-th quantity in memory. */
export function kept(k: number): string {
  return `memory[${k}]`;
}
