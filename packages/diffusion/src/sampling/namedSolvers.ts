// The list of solvers by name.

import { expectWord } from "../optionWords.ts";
import * as all from "./solvers/index.ts";
import type { Solver } from "./table/solver.ts";

/**
 * Every solver, in the order of their names: each is a function of a path, with its name, source, order and calls per step.
 * @example
 * ```ts
 * import { cosine, discretePath, finalSample, gaussianOracle, oraclePath, sample, solverNamed, solvers } from "@pkg/diffusion";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const heun = solverNamed("heun");
 * console.log(heun.order, heun.calls); // 2 2
 * console.log(solvers.filter(({ order }) => order === 4).map(({ name }) => name)); // [ 'lms', 'rungeKutta' ]
 *
 * const data = gaussianOracle({ mean: [1, -1], variance: 1e-4 });
 * const path = oraclePath(discretePath(cosine(1000), { steps: 20 }), data);
 * const x = await finalSample(sample(heun(path), path.model, [1, 2], randomStream(0), { backend: cpu() }));
 * console.log(Array.from(await x.data(), Math.round)); // [ 1, -1 ]
 * ```
 */
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
