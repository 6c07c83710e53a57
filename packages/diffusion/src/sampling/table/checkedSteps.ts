// The steps of a table, each made once and checked: every row takes what is there, by weights that are numbers.

import { wrongArgument } from "@pkg/tensor";
import type { NoiseLevel } from "../../forward/level.ts";
import { kept, type Row, type SolverStep, type StepTable } from "./step.ts";

/** A step whose rows all take what is there. */
export interface CheckedStep {
  readonly rows: Readonly<Record<string, Row>>;
  readonly keep: readonly string[];
}

/** The step at an index, for a number of tensors in memory. */
export type StepAt = (index: number, remembered: number) => CheckedStep;

/**
 * Makes and checks all steps of a run from the first one on. The steps of a run that starts elsewhere, with less memory, are made when
 * it gets to them.
 * @throws Error for what is no step or no row, and for a row that takes what is not there or weighs it by no number, naming the step,
 * the row and the quantity
 */
export function checkedSteps(name: string, levels: readonly NoiseLevel[], table: StepTable): StepAt {
  const made = new Map<string, CheckedStep>();
  const stepAt: StepAt = (index, remembered) => {
    const key = `${index} ${remembered}`;
    const known = made.get(key);
    if (known) return known;
    const place = `${name}: step ${index}`;
    const found = table({ index, from: levels[index], to: levels[index + 1], remembered });
    checkRows(place, found);
    const step = withoutZeros(found);
    checkStep(place, step, remembered);
    made.set(key, step);
    return step;
  };
  let remembered = 0;
  for (let index = 0; index < levels.length - 1; index++) remembered = stepAt(index, remembered).keep.length;
  return stepAt;
}

/** The step without terms of weight 0: 0 times an infinite quantity would be NaN. If all weights are 0, the terms stay. */
function withoutZeros({ rows, keep = [] }: SolverStep): CheckedStep {
  const used = Object.entries(rows).flatMap(([quantity, row]): (readonly [string, Row])[] => {
    if (row === undefined) return [];
    if (typeof row === "string" || !("sum" in row)) return [[quantity, row]];
    const terms = Object.entries(row.sum);
    const weighed = terms.filter(([, weight]) => weight !== 0);
    return [[quantity, { sum: Object.fromEntries(weighed.length > 0 ? weighed : terms) }]];
  });
  return { rows: Object.fromEntries(used), keep };
}

/** What a row may be, which plain JavaScript lets be anything. */
const isRow = (row: unknown): boolean => {
  if (row === undefined || typeof row === "string") return true;
  if (typeof row !== "object" || row === null) return false;
  const { ask, at, reads, sum, draw } = row as Record<string, unknown>;
  if ("ask" in row)
    return typeof ask === "string" && isObject(at) && (reads === undefined || reads === "noise" || reads === "score");
  return isObject(sum) || draw === "normal";
};

const isObject = (value: unknown): boolean => typeof value === "object" && value !== null;

function checkRows(place: string, step: SolverStep): void {
  const { rows, keep = [] } = step ?? {};
  if (!isObject(rows)) throw wrongArgument(place, "rows", rows, "an object: { data, next, … }");
  if (!Array.isArray(keep)) throw wrongArgument(place, "keep", keep, "a list of names of quantities");
  for (const [name, row] of Object.entries(rows)) {
    if (isRow(row)) continue;
    const wanted =
      '{ ask, at }, with reads: "noise" or "score" or without, { sum }, { draw: "normal" } or the name of a quantity';
    throw new Error(`${place}: row ${name} is ${JSON.stringify(row)}, want ${wanted}`);
  }
}

function checkStep(place: string, { rows, keep }: CheckedStep, remembered: number): void {
  const known = new Set(["x", ...Array.from({ length: remembered }, (_, k) => kept(k))]);
  const expectKnown = (what: string, quantity: string) => {
    if (!known.has(quantity)) throw new Error(`${place}: ${what} ${quantity}, want one of ${[...known].join(", ")}`);
  };
  for (const [quantity, row] of Object.entries(rows)) {
    if (known.has(quantity)) throw new Error(`${place}: row ${quantity} is there already, want another name`);
    for (const taken of takenBy(row)) expectKnown(`row ${quantity} takes`, taken);
    if (typeof row !== "string" && "sum" in row) checkWeights(`${place}: row ${quantity}`, row.sum);
    known.add(quantity);
    if (typeof row !== "string" && "ask" in row && row.reads) known.add(`${quantity}.${row.reads}`);
  }
  for (const needed of ["data", "next"])
    if (!(needed in rows)) throw new Error(`${place}: no row ${needed}, want data, which is x̂₀, and next, the next x`);
  for (const quantity of keep) expectKnown("keeps", quantity);
}

function takenBy(row: Row): readonly string[] {
  if (typeof row === "string") return [row];
  if ("ask" in row) return [row.ask];
  return "sum" in row ? Object.keys(row.sum) : [];
}

function checkWeights(row: string, sum: Readonly<Record<string, number>>): void {
  const weights = Object.entries(sum);
  if (weights.length === 0) throw new Error(`${row} is a sum of nothing, want at least one term`);
  const wrong = weights.find(([, weight]) => !Number.isFinite(weight));
  if (wrong) throw new Error(`${row} weighs ${wrong[0]} by ${wrong[1]}, want a finite number`);
}
