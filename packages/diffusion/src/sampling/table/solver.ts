// A solver: its name, source and order, and the table of its steps. Tests and documents follow from the list (solvers/index.ts).

import { wrongArgument } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import type { DiscretePath } from "../../forward/discretePath.ts";
import type { NoiseLevel } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import type { StepTable } from "./step.ts";
import { tableSampler } from "./tableSampler.ts";

/** What a solver declares for its default options, and for others. */
interface Declared {
  /** p, where the error falls as steps^−p: the error of samples from one start, or of the variance where steps add noise. */
  readonly order: number;
  /** Calls of the model per step, after the first steps of a multistep method. */
  readonly calls: number;
}

/** Options that are measured and tested as the defaults are. */
export interface SolverVariant<Options extends object> extends Partial<Declared> {
  /** The options themselves. */
  readonly options: Options;
}

/** How a solver is defined. */
export interface SolverDefinition<Path extends NoisePath, Options extends object> extends Declared {
  /** The name of its export, by which `solverNamed` finds it. */
  readonly name: string;
  /** Author, year, and the place in their text. */
  readonly source: string;
  /** Other options worth measuring, by a name: "order 2". */
  readonly variants?: Readonly<Record<string, SolverVariant<NoInfer<Options>>>>;
  /** The levels to visit. Default: those of the path. */
  levels?(path: NoInfer<Path>): readonly NoiseLevel[];
  /** The steps as data. @throws Error for bad options */
  table(path: Path, options: Options): StepTable;
  /** A sampler for options that have no table, such as a learned variance. */
  instead?(path: Path, options: NoInfer<Options>): Sampler | undefined;
}

/** A solver: call it with a path for a sampler. By default on paths of a schedule's steps, which every solver takes. */
export interface Solver<Path extends NoisePath = DiscretePath, Options extends object = object> extends Declared {
  (path: Path, options?: Options): Sampler;
  /** The name of the function that makes it. */
  readonly name: string;
  /** Author, year, and the place in their text. */
  readonly source: string;
  /** Other options that are measured, by a name. */
  readonly variants: Readonly<Record<string, SolverVariant<Options>>>;
  /** The steps as data. */
  table(path: Path, options?: Options): StepTable;
}

/**
 * Makes a solver of its table.
 * @returns a function of a path and options, which throws Error for a path of another kind, bad options, and a row that takes what is
 * not there
 * @throws Error for an order that is not positive, and calls that are no integer from 1 on
 */
export function defineSolver<Path extends NoisePath, Options extends object>(
  definition: SolverDefinition<Path, Options>,
): Solver<Path, Options> {
  expectArguments("defineSolver", { definition });
  const { name, source, order, calls, variants = {}, levels = (path: Path) => path.levels } = definition;
  checkDeclared(name, definition);
  for (const variant of Object.values(variants)) checkDeclared(name, { order, calls, ...variant });
  const defaults = {} as Options; // every option of a solver has a default
  const solver = (path: Path, options: Options = defaults): Sampler => {
    expectArguments(name, { path, options });
    const sampler = definition.instead?.(path, options);
    return sampler ?? tableSampler(name, { levels: levels(path), path, table: table(path, options) });
  };
  const table = (path: Path, options: Options = defaults) => {
    const found = definition.table(path, options);
    if (typeof found !== "function") throw wrongArgument(name, "table", found, "a function: (place) => step");
    return found;
  };
  Object.defineProperty(solver, "name", { value: name });
  return Object.assign(solver, { source, order, calls, variants, table });
}

function checkDeclared(name: string, { order, calls }: Declared): void {
  if (!(order > 0 && Number.isFinite(order))) throw new Error(`${name}: order is ${order}, want a positive number`);
  if (!(Number.isInteger(calls) && calls > 0)) throw new Error(`${name}: calls is ${calls}, want a positive integer`);
}
