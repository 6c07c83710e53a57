// Who takes part in the bench: here our backends; libraries beside them are in peer.ts.
import { type Backend, type Tensor, tidy, tune } from "@pkg/tensor";
import { type BenchCase, drawInputs, type Stepper } from "./case.ts";

/** Somebody who solves cases. */
export interface Contender {
  readonly label: string;
  /** A rough rate in FLOP/s, to leave out what would take minutes. */
  readonly expectedRate: number;
  /** A GPU, and no software that imitates one. */
  readonly isGpu: boolean;
  /** The largest ‖error‖ / ‖reference‖ allowed where a case allows less. */
  readonly tolerance?: number;
  /** Gets ready for a case. Returns why it has no way to solve it, if so. */
  prepare(given: BenchCase): Promise<Solver | string>;
}

/** A contender with the inputs of one case. */
export interface Solver {
  /** The results of the first run, or the part of them that is checked; row-major. */
  outputs(): Promise<readonly ArrayLike<number>[]>;
  /** Milliseconds a run. */
  time(repeats: number): Promise<number>;
  dispose(): void | Promise<void>;
}

/** How one of our backends is used, by default as it is. */
export interface Manner {
  /** Whether the tilings of each problem are timed first (`tune`), and the fastest taken. */
  readonly isTuned?: boolean;
  /** Whether the operands of products are rounded to float16 (`precision: "mixed"`). */
  readonly isMixed?: boolean;
}

/** Both operands of a product rounded to float16 where that has normal numbers, by at most 2⁻¹¹ of themselves each. */
const MIXED_TOLERANCE = 2 * 2 ** -11;

/** One of our backends. */
export function ours(
  label: string,
  backend: Backend,
  expectedRate: number,
  { isTuned = false, isMixed = false }: Manner = {},
): Contender {
  return {
    label,
    expectedRate,
    isGpu: isGpu(backend),
    ...(isMixed && { tolerance: MIXED_TOLERANCE }),
    async prepare(given) {
      const solver = () => solverOn(backend, given, drawInputs(given, backend));
      if (isTuned) {
        const trial = solver(); // a training step changes what it works on
        await tune(backend, () => trial.time(1));
        await trial.dispose();
      }
      return solver();
    },
  };
}

/** Solves a case, or a part of it, on a backend with these inputs, which it disposes of. */
export function solverOn(backend: Backend, { solve, part }: BenchCase, inputs: readonly Tensor[]): Solver {
  let stepper: Stepper | undefined;
  if (typeof solve !== "function") stepper = solve.begin(inputs);
  const first = () => (typeof solve === "function" ? solve(inputs) : (stepper?.first() ?? []));
  const run = typeof solve === "function" ? () => void solve(inputs) : () => stepper?.step();
  return {
    async outputs() {
      const made = tidy(() => {
        const all = first();
        return part ? [...part.outputs(all)] : [...all];
      });
      const values = [];
      for (const output of made) {
        values.push(await output.data());
        output.dispose();
      }
      return values;
    },
    async time(repeats) {
      const began = performance.now();
      for (let k = 0; k < repeats; k++) tidy(run);
      await backend.settled();
      return (performance.now() - began) / repeats;
    },
    dispose() {
      stepper?.dispose();
      for (const input of inputs) input.dispose();
    },
  };
}

/** Whether a GPU stands behind a backend. */
export function isGpu({ name }: Backend): boolean {
  return name.startsWith("webgpu") && !/swiftshader|llvmpipe/i.test(name);
}

/** Milliseconds of work in which a GPU that idled raises its clocks: an H100 measured threefold times before that. */
export const CLOCK_RAMP = 800;
