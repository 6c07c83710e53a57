// Times one case on several backends in turn, after checking that each computes the right thing.
import { type Backend, cpu, type Tensor, tidy } from "@pkg/tensor";
import { type BenchCase, drawInputs } from "./case.ts";

/** A backend in the bench, and how fast it may be, to leave out what would take minutes. */
export interface Contender {
  readonly label: string;
  readonly backend: Backend;
  /** A rough rate in FLOP/s. */
  readonly expectedRate: number;
}

export interface Measurement {
  readonly name: string;
  readonly size: string;
  readonly backend: string;
  readonly flop: number;
  readonly bytes: number;
  /** Milliseconds a run, one entry a sample. */
  readonly samples: readonly number[];
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly error: number;
  readonly tolerance: number;
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
}

export const FULL: Effort = {
  samples: 15,
  sampleTime: 20,
  warmTime: 2000,
  mostTime: 3000,
  mostBytes: Number.POSITIVE_INFINITY,
};
export const QUICK: Effort = { samples: 5, sampleTime: 10, warmTime: 300, mostTime: 200, mostBytes: 2 ** 25 };

/**
 * Checks and times a case on each contender that is fast enough for it, sample by sample in turn.
 * @throws Error when a backend's error is beyond the tolerance: a wrong result has no speed
 */
export async function measure(
  given: BenchCase,
  contenders: readonly Contender[],
  effort: Effort,
): Promise<Measurement[]> {
  const work = Math.max(given.flop, given.bytes / 4);
  const entered = contenders.filter(({ expectedRate }) => (work / expectedRate) * 1000 <= effort.mostTime);
  // A large problem costs the reference seconds: it is for machines that do it in passing.
  if (given.bytes > effort.mostBytes && entered.every(({ expectedRate }) => expectedRate < 1e12)) return [];
  const reference = entered.length > 0 ? await solve(given) : [];
  const runners = [];
  for (const { label, backend } of entered) {
    const inputs = drawInputs(given, backend);
    const began = performance.now();
    const error = await check(given, label, inputs, reference);
    const tooSlow = performance.now() - began > 4 * effort.mostTime; // with compilation and reading back
    if (tooSlow) {
      for (const input of inputs) input.dispose();
      continue;
    }
    const repeats = await warm(given, backend, inputs, effort);
    runners.push({ label, backend, inputs, error, repeats, samples: [] as number[] });
  }
  for (let round = 0; round < effort.samples; round++) {
    for (const { backend, inputs, repeats, samples } of runners)
      samples.push(await time(given, backend, inputs, repeats));
  }
  return runners.map(({ label, inputs, error, samples }) => {
    for (const input of inputs) input.dispose();
    const sorted = [...samples].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    const { name, size, flop, bytes, tolerance } = given;
    return {
      name,
      size,
      backend: label,
      flop,
      bytes,
      samples,
      median: at(0.5),
      p10: at(0.1),
      p90: at(0.9),
      error,
      tolerance,
    };
  });
}

/** The reference's answer, or that to the part of the problem that stands for it. */
async function solve(given: BenchCase): Promise<Float64Array[]> {
  const exact = cpu({ precision: "float64" });
  const inputs = drawInputs(given, exact);
  const outputs = tidy(() => [...given.run(given.part ? given.part.inputs(inputs) : inputs)]);
  return Promise.all(outputs.map(async (output) => Float64Array.from(await output.data())));
}

async function check(
  given: BenchCase,
  label: string,
  inputs: readonly Tensor[],
  reference: readonly Float64Array[],
): Promise<number> {
  const outputs = tidy(() => {
    const all = given.run(inputs);
    return given.part ? [...given.part.outputs(all)] : [...all];
  });
  let [errors, norms] = [0, 0];
  for (const [k, output] of outputs.entries()) {
    const found = await output.data();
    for (let i = 0; i < found.length; i++) {
      errors += (found[i] - reference[k][i]) ** 2;
      norms += reference[k][i] ** 2;
    }
    output.dispose();
  }
  const error = Math.sqrt(errors / norms);
  if (!(error <= given.tolerance)) {
    throw new Error(
      `${given.name} ${given.size} on ${label}: relative L2 error ${error}, want at most ${given.tolerance}`,
    );
  }
  return error;
}

/** Milliseconds of work in which a GPU that idled raises its clocks: an H100 measured threefold times before that. */
export function clockRamp({ name }: Backend): number {
  return name.startsWith("webgpu") && !/swiftshader|llvmpipe/i.test(name) ? 800 : 0;
}

/** Runs until three times in a row agree within 5 %, and GPUs at full clocks. Returns how many runs make a sample. */
async function warm(
  given: BenchCase,
  backend: Backend,
  inputs: readonly Tensor[],
  { sampleTime, warmTime }: Effort,
): Promise<number> {
  const began = performance.now();
  let [repeats, agreeing, before] = [1, 0, Number.POSITIVE_INFINITY];
  const least = clockRamp(backend);
  const elapsed = () => performance.now() - began;
  while (elapsed() < least || (agreeing < 3 && elapsed() < warmTime)) {
    const each = await time(given, backend, inputs, repeats);
    agreeing = Math.abs(each - before) <= 0.05 * each ? agreeing + 1 : 0;
    before = each;
    repeats = Math.max(1, Math.min(4096, Math.ceil(sampleTime / each)));
  }
  return repeats;
}

async function time(given: BenchCase, backend: Backend, inputs: readonly Tensor[], repeats: number): Promise<number> {
  const began = performance.now();
  for (let k = 0; k < repeats; k++) tidy(() => void given.run(inputs));
  await backend.settled();
  return (performance.now() - began) / repeats;
}
