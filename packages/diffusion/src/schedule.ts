// Discrete noise schedules: the β, α and ᾱ of every step as float64 tables on the host.

/**
 * A variance-preserving diffusion in discrete time: q(x_t | x_{t−1}) = N(√α_t x_{t−1}, β_t I).
 * Tables are indexed from 0, as code does: entry t is step t + 1 of the papers, and ᾱ before entry 0 is 1.
 */
export interface Schedule {
  /** T. */
  readonly steps: number;
  /** β_t, in (0, 1]. */
  readonly betas: Float64Array;
  /** ᾱ_t = Π_{s ≤ t} (1 − β_s), falling, in [0, 1). */
  readonly alphaBars: Float64Array;
  /** 1 − ᾱ_t, summed on its own: the difference would lose digits where ᾱ_t is near 1. */
  readonly noiseVariances: Float64Array;
}

/** β rises linearly (Ho et al. 2020, section 4). Ends are those of 1000 steps whatever `steps` is. */
export function linear(steps = 1000, { start = 1e-4, end = 0.02 }: { start?: number; end?: number } = {}): Schedule {
  checkSteps("linear", steps);
  const slope = steps === 1 ? 0 : (end - start) / (steps - 1);
  return fromBetas(Float64Array.from({ length: steps }, (_, t) => start + slope * t));
}

/**
 * ᾱ follows cos² (Nichol & Dhariwal 2021, eq. 17), with β capped.
 * @param options offset: s, keeps the first β from vanishing; maxBeta: the cap, which the last steps reach
 */
export function cosine(
  steps = 1000,
  { offset = 0.008, maxBeta = 0.999 }: { offset?: number; maxBeta?: number } = {},
): Schedule {
  checkSteps("cosine", steps);
  const signal = (t: number) => Math.cos(((t / steps + offset) / (1 + offset)) * (Math.PI / 2)) ** 2;
  return fromBetas(Float64Array.from({ length: steps }, (_, t) => Math.min(1 - signal(t + 1) / signal(t), maxBeta)));
}

/** √β rises linearly: the schedule of latent diffusion (Rombach et al. 2022), by default with its ends. */
export function scaledLinear(
  steps = 1000,
  { start = 0.00085, end = 0.012 }: { start?: number; end?: number } = {},
): Schedule {
  return fromBetas(linear(steps, { start: Math.sqrt(start), end: Math.sqrt(end) }).betas.map((root) => root ** 2));
}

/** The same β in every step. */
export function constant(steps = 1000, beta = 0.02): Schedule {
  checkSteps("constant", steps);
  return fromBetas(new Float64Array(steps).fill(beta));
}

/** ᾱ falls as a sigmoid from `start` to `end`, stretched to [0, 1] (Jabri et al. 2022), with β capped. */
export function sigmoid(
  steps = 1000,
  {
    start = -3,
    end = 3,
    temperature = 1,
    maxBeta = 0.999,
  }: { start?: number; end?: number; temperature?: number; maxBeta?: number } = {},
): Schedule {
  checkSteps("sigmoid", steps);
  const logistic = (x: number) => 1 / (1 + Math.exp(-x / temperature));
  const [high, low] = [logistic(end), logistic(start)];
  const signal = (t: number) => (high - logistic((t / steps) * (end - start) + start)) / (high - low);
  return fromBetas(Float64Array.from({ length: steps }, (_, t) => Math.min(1 - signal(t + 1) / signal(t), maxBeta)));
}

/**
 * The same schedule with √ᾱ shifted and stretched so that the last step holds no signal at all (Lin et al. 2024, algorithm 1).
 * Predict velocity or data with it: at the last step the noise says nothing of the data.
 */
export function zeroTerminalSnr({ steps, alphaBars }: Schedule): Schedule {
  const roots = alphaBars.map(Math.sqrt);
  const [first, last] = [roots[0], roots[steps - 1]];
  if (steps < 2) throw new Error(`zeroTerminalSnr: a schedule of ${steps} steps, want at least two`);
  const rescaled = roots.map((root) => (((root - last) * first) / (first - last)) ** 2);
  return fromBetas(rescaled.map((alphaBar, t) => 1 - alphaBar / (t === 0 ? 1 : rescaled[t - 1])));
}

/** A schedule of one's own. @throws Error naming the first β that is not in (0, 1] */
export function fromBetas(betas: ArrayLike<number>): Schedule {
  checkSteps("fromBetas", betas.length);
  const table = Float64Array.from(betas);
  const wrong = table.findIndex((beta) => !(beta > 0 && beta <= 1));
  if (wrong !== -1) throw new Error(`schedule: β_${wrong} is ${table[wrong]}, want numbers in (0, 1]`);
  let [alphaBar, noiseVariance] = [1, 0];
  const alphaBars = new Float64Array(table.length);
  const noiseVariances = new Float64Array(table.length);
  for (const [t, beta] of table.entries()) {
    noiseVariance += alphaBar * beta;
    alphaBar *= 1 - beta;
    alphaBars[t] = alphaBar;
    noiseVariances[t] = noiseVariance;
  }
  return { steps: table.length, betas: table, alphaBars, noiseVariances };
}

/** ᾱ_t, with 1 before the first step (t = −1). @throws Error when t is no step of the schedule */
export function alphaBarAt(schedule: Schedule, t: number): number {
  return t === -1 ? 1 : schedule.alphaBars[checkTime(schedule, t)];
}

/** 1 − ᾱ_t, with 0 before the first step (t = −1). @throws Error when t is no step of the schedule */
export function noiseVarianceAt(schedule: Schedule, t: number): number {
  return t === -1 ? 0 : schedule.noiseVariances[checkTime(schedule, t)];
}

/** ᾱ_t / (1 − ᾱ_t), the ratio of signal to noise; infinite before the first step. */
export function snrAt(schedule: Schedule, t: number): number {
  return alphaBarAt(schedule, t) / noiseVarianceAt(schedule, t);
}

function checkTime({ steps }: Schedule, t: number): number {
  if (Number.isInteger(t) && t >= 0 && t < steps) return t;
  throw new Error(`schedule: t is ${t}, want an integer in [0, ${steps - 1}] (−1 for the data)`);
}

function checkSteps(name: string, steps: number): void {
  if (!(Number.isInteger(steps) && steps > 0)) throw new Error(`${name}: ${steps} steps, want a positive integer`);
}
