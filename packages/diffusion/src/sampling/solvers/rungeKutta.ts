// The classical Runge–Kutta method on the probability-flow ODE.

import type { FlowPath } from "../../flow/flowPath.ts";
import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { isEulerStep } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, type SolverStep, type StepPlace, sum } from "../table/step.ts";
import { along, weighted } from "../table/terms.ts";

/**
 * RK4 for dy/d log σ = y − D(y; σ) in y = x / signal, the ODE of Karras et al. 2022, eq. 1, with log σ for its time: even levels of
 * `exponential` are even steps. Of order 4; four calls of the model per step. A last step to the data is x̂₀, and one in
 * which σ falls far DDIM's. On a flow's times it is RK4 for dx/dt = α′ x̂₀ + σ′ ε̂, whose steps are finite at t = 1, where σ has no end.
 */
export const rungeKutta = defineSolver({
  name: "rungeKutta",
  source: "Kutta 1901, on Karras et al. 2022, eq. 1",
  order: 4,
  calls: 4,
  table: (path: NoisePath | FlowPath) => (place) => {
    const { from, to } = place;
    const data = ask("x", from);
    if (to.noise === 0) return { rows: { data, next: "data" } };
    if ("interpolant" in path) return { rows: flowRows(path, place) };
    if (isEulerStep(place)) return { rows: { data, next: along("x", "data", from, to) } };
    const middle = path.at(Math.sqrt(sigmaOf(from) * sigmaOf(to)));
    const step = Math.log(sigmaOf(to) / sigmaOf(from));
    /** y − D at a level. */
    const slope = (x: string, data: string, at: NoiseLevel) => sum({ [x]: 1 / at.signal, [data]: -1 });
    /** x at a level to which y moved by shares of the step times slopes. */
    const moved = (slopes: readonly string[], at: NoiseLevel, shares: readonly number[]) =>
      weighted(["x", ...slopes], [at.signal / from.signal, ...shares.map((share) => at.signal * step * share)]);
    return {
      rows: {
        data,
        slope1: slope("x", "data", from),
        x2: moved(["slope1"], middle, [1 / 2]),
        data2: ask("x2", middle),
        slope2: slope("x2", "data2", middle),
        x3: moved(["slope2"], middle, [1 / 2]),
        data3: ask("x3", middle),
        slope3: slope("x3", "data3", middle),
        x4: moved(["slope3"], to, [1]),
        data4: ask("x4", to),
        slope4: slope("x4", "data4", to),
        next: moved(["slope1", "slope2", "slope3", "slope4"], to, [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
      },
    };
  },
});

/** The rows of a step in a flow's own time. */
function flowRows({ interpolant, levels, times }: FlowPath, { index, from, to }: StepPlace): SolverStep["rows"] {
  const [t, step] = [times[index], times[index + 1] - times[index]];
  const middle = interpolant.level(t + step / 2);
  /** dx/dt = α′ x̂₀ + σ′ (x − α x̂₀) / σ. */
  const slope = (x: string, data: string, at: NoiseLevel, time: number) => {
    const { rates } = interpolant.level(time);
    const ofX = rates.noise / at.noise;
    return sum({ [x]: ofX, [data]: rates.signal - ofX * at.signal });
  };
  const moved = (slopes: readonly string[], shares: readonly number[]) =>
    weighted(["x", ...slopes], [1, ...shares.map((share) => step * share)]);
  return {
    data: ask("x", from),
    slope1: slope("x", "data", levels[index], t),
    x2: moved(["slope1"], [1 / 2]),
    data2: ask("x2", middle),
    slope2: slope("x2", "data2", middle, t + step / 2),
    x3: moved(["slope2"], [1 / 2]),
    data3: ask("x3", middle),
    slope3: slope("x3", "data3", middle, t + step / 2),
    x4: moved(["slope3"], [1]),
    data4: ask("x4", to),
    slope4: slope("x4", "data4", to, times[index + 1]),
    next: moved(["slope1", "slope2", "slope3", "slope4"], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
  };
}
