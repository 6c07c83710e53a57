// Times one case for several contenders in turn, after checking that each computes the right thing.
import { cpu, tidy } from "@pkg/tensor";
import { type BenchCase, drawInputs } from "./case.ts";
import { CLOCK_RAMP, type Contender, type Solver, solverOn } from "./contender.ts";
import type { References } from "./references.ts";
import { type Spread, spread } from "./statistics.ts";

export interface Measurement extends Spread {
  readonly name: string;
  readonly size: string;
  readonly backend: string;
  readonly flop: number;
  readonly bytes: number;
  /** Milliseconds a run, one entry a sample; the samples of one round lie at one index for all contenders. */
  readonly samples: readonly number[];
  readonly error: number;
  readonly tolerance: number;
}

/** A contender that did not get a time. */
export interface Missing {
  readonly name: string;
  readonly size: string;
  readonly backend: string;
  readonly reason: string;
}

/** What came of a case. */
export interface Outcome {
  readonly measurements: readonly Measurement[];
  /** Wrong results and errors. */
  readonly failures: readonly Missing[];
  /** Left out, for want of the operation or of time. */
  readonly absent: readonly Missing[];
}

/** How long to measure. */
export interface Effort {
  readonly samples: number;
  /** The least milliseconds of work in a sample. */
  readonly sampleTime: number;
  /** The most milliseconds of warming up. */
  readonly warmTime: number;
  /** Cases that would take more milliseconds than this are left out on a backend. */
  readonly mostTime: number;
  /** Cases that move more bytes than this are left out where no backend is a GPU. */
  readonly mostBytes: number;
  /** Networks whose training step would take more milliseconds than this are left out on a backend. */
  readonly mostStepTime: number;
  /** Steps of whole sampling runs. */
  readonly sampleSteps: number;
  /**
   * Milliseconds of rest before each sample, and then a sample's work that is not timed. Threads of other libraries spin on for up to
   * about 100 ms after their work (OpenBLAS, OpenMP), on the cores that the next contender is to be timed on; and two threads that
   * slept may share one core for the first 20 ms.
   */
  readonly rest: number;
}

export const FULL: Effort = {
  samples: 15,
  sampleTime: 20,
  warmTime: 2000,
  mostTime: 3000,
  mostBytes: Number.POSITIVE_INFINITY,
  mostStepTime: 30_000,
  rest: 0,
  sampleSteps: 50,
};
export const QUICK: Effort = {
  samples: 5,
  sampleTime: 5,
  warmTime: 60,
  mostTime: 100,
  mostBytes: 2 ** 25,
  mostStepTime: 3000,
  rest: 0,
  sampleSteps: 5,
};

interface Runner {
  readonly label: string;
  readonly isGpu: boolean;
  readonly solver: Solver;
  readonly error: number;
  readonly tolerance: number;
  readonly repeats: number;
  readonly samples: number[];
}

/** Checks and times a case for each contender that is fast enough for it, sample by sample in turn. */
export async function measure(
  given: BenchCase,
  contenders: readonly Contender[],
  effort: Effort,
  references?: References,
): Promise<Outcome> {
  const { name, size, flop, bytes } = given;
  const work = Math.max(flop, bytes / 4);
  const entered = contenders.filter(
    ({ expectedRate, isGpu }) => (work / expectedRate) * 1000 <= effort.mostTime && (isGpu || !given.onlyGpu),
  );
  const [failures, absent]: [Missing[], Missing[]] = [[], []];
  const note = (list: Missing[], backend: string, reason: string) => list.push({ name, size, backend, reason });
  for (const { label } of contenders.filter((contender) => !entered.includes(contender))) {
    note(absent, label, given.onlyGpu ? "for GPUs only" : "too slow for this size");
  }
  // A large problem costs the reference seconds: it is for machines that do it in passing.
  if (bytes > effort.mostBytes && entered.every(({ isGpu }) => !isGpu)) {
    for (const { label } of entered) note(absent, label, "too large for a quick run");
    return { measurements: [], failures, absent };
  }
  let reference: readonly ArrayLike<number>[] = [];
  try {
    const solve = () => solveExactly(given);
    if (references) reference = await references.of(`${name} ${size}`, solve);
    else if (entered.length > 0) reference = await solve();
  } catch (error) {
    note(failures, "the reference", error instanceof Error ? error.message : String(error));
    return { measurements: [], failures, absent };
  }
  const runners: Runner[] = [];
  for (const contender of entered) {
    const { label } = contender;
    const tolerance = Math.max(given.tolerance, contender.tolerance ?? 0);
    let solver: Solver | string | undefined;
    try {
      const began = performance.now();
      solver = await contender.prepare(given);
      if (typeof solver === "string") {
        note(absent, label, solver);
        continue;
      }
      const error = relativeError(await solver.outputs(), reference);
      if (!(error <= tolerance)) {
        throw new Error(`relative L2 error ${error}, want at most ${tolerance}: a wrong result has no speed`);
      }
      // With compilation and reading back, which tell nothing of a GPU's time.
      if (!contender.isGpu && performance.now() - began > 4 * effort.mostTime) {
        note(absent, label, "too slow for this size");
        await solver.dispose();
        continue;
      }
      // One ramp a case: while the contenders take turns, the GPU does not idle.
      const isFirst = runners.every((runner) => !runner.isGpu);
      const repeats = await warm(solver, contender.isGpu && isFirst ? CLOCK_RAMP : 0, effort);
      runners.push({ label, isGpu: contender.isGpu, solver, error, tolerance, repeats, samples: [] });
    } catch (error) {
      note(failures, label, error instanceof Error ? error.message : String(error));
      if (typeof solver === "object") await solver.dispose();
    }
  }
  for (let round = 0; round < effort.samples; round++) {
    for (const { label, solver, repeats, samples } of runners) {
      try {
        if (effort.rest > 0) await rested(solver, repeats, effort.rest);
        samples.push(await solver.time(repeats));
      } catch (error) {
        note(failures, label, error instanceof Error ? error.message : String(error));
        runners.splice(
          runners.findIndex((runner) => runner.solver === solver),
          1,
        );
      }
    }
  }
  const measurements = [];
  for (const { label, solver, error, tolerance, samples } of runners) {
    await solver.dispose();
    measurements.push({ name, size, backend: label, flop, bytes, samples, ...spread(samples), error, tolerance });
  }
  return { measurements, failures, absent };
}

async function rested(solver: Solver, repeats: number, rest: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, rest));
  await solver.time(repeats);
}

/** The reference's answer, or that to the part of the problem that stands for it. */
async function solveExactly(given: BenchCase): Promise<readonly ArrayLike<number>[]> {
  const exact = cpu({ precision: "float64" });
  const inputs = drawInputs(given, exact);
  const part = tidy(() => [...(given.part?.inputs(inputs) ?? inputs)]);
  const solver = solverOn(exact, { ...given, part: undefined }, part);
  const outputs = await solver.outputs();
  await solver.dispose();
  for (const input of inputs) if (!part.includes(input)) input.dispose();
  return outputs;
}

/** ‖found − wanted‖ / ‖wanted‖ over all outputs. @throws Error where there are more or fewer elements than wanted */
function relativeError(found: readonly ArrayLike<number>[], wanted: readonly ArrayLike<number>[]): number {
  const sizes = (outputs: readonly ArrayLike<number>[]) => outputs.map(({ length }) => length).join(" and ");
  if (sizes(found) !== sizes(wanted)) throw new Error(`outputs of ${sizes(found)} elements, want ${sizes(wanted)}`);
  let [errors, norms] = [0, 0];
  for (const [k, values] of wanted.entries()) {
    for (let i = 0; i < values.length; i++) {
      errors += (found[k][i] - values[i]) ** 2;
      norms += values[i] ** 2;
    }
  }
  return Math.sqrt(errors / norms);
}

/** Runs until three times in a row agree within 5 %, and GPUs at full clocks. Returns how many runs make a sample. */
async function warm(solver: Solver, clockRamp: number, { sampleTime, warmTime }: Effort): Promise<number> {
  const began = performance.now();
  let [repeats, agreeing, before] = [1, 0, Number.POSITIVE_INFINITY];
  const elapsed = () => performance.now() - began;
  while (elapsed() < clockRamp || (agreeing < 3 && elapsed() < warmTime)) {
    const each = await solver.time(repeats);
    agreeing = Math.abs(each - before) <= 0.05 * each ? agreeing + 1 : 0;
    before = each;
    repeats = Math.max(1, Math.min(4096, Math.ceil(sampleTime / each)));
  }
  return repeats;
}
