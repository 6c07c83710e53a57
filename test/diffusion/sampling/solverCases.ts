// The solvers of the list with their default options, and their variants: what derived tests and tables walk.
import { type DiscretePath, discretePath, linear, type Sampler, type SolverStep, solvers } from "@pkg/diffusion";

export interface SolverCase {
  readonly name: string;
  readonly order: number;
  readonly calls: number;
  readonly of: (path: DiscretePath) => Sampler;
  /** The step at an index of a run from the first step on. */
  readonly step: (path: DiscretePath, index: number) => SolverStep;
  /** Whether steps draw noise. */
  readonly isNoisy: boolean;
}

export const solverCases: readonly SolverCase[] = solvers.flatMap((solver) => {
  const { name, order, calls, variants } = solver;
  const all = [["", { options: {}, order, calls }] as const, ...Object.entries(variants)];
  return all.map(([variant, { options, ...declared }]) => {
    const step: SolverCase["step"] = (path, index) => {
      const table = solver.table(path, options);
      let remembered = 0;
      for (let k = 0; ; k++) {
        const found = table({ index: k, from: path.levels[k], to: path.levels[k + 1], remembered });
        if (k === index) return found;
        remembered = found.keep?.length ?? 0;
      }
    };
    const rows = Object.values(step(discretePath(linear(10)), 5).rows);
    return {
      name: variant ? `${name}, ${variant}` : name,
      order: declared.order ?? order,
      calls: declared.calls ?? calls,
      of: (path) => solver(path, options),
      step,
      isNoisy: rows.some((row) => typeof row === "object" && "draw" in row),
    };
  });
});
