// The list of solvers by name.

import { expectWord } from "../optionWords.ts";
import * as all from "./solvers/index.ts";
import type { Solver } from "./table/solver.ts";

/** Every solver, in the order of their names: each is a function of a path, with its name, source, order and calls per step. */
export const solvers: readonly Solver[] = Object.values<Solver>(all);

/**
 * The solver of a name: `solverNamed("heun")(path)`.
 * @throws Error for another name, with the names there are
 */
export function solverNamed(name: string): Solver {
  const names = solvers.map((solver) => solver.name);
  expectWord("solverNamed", "name", name, names);
  return solvers[names.indexOf(name)];
}
