// Tables of a schedule on a backend, and values of each sample's step: computed for a list of steps, gathered for a tensor of them.

import { checkTimes, type Times } from "@pkg/nn";
import { type Backend, lasting, Tensor, tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { asColumn } from "../objective/perSample.ts";
import type { Schedule } from "./schedule.ts";

/** The tables of a schedule as tensors, [steps] each. They belong to the schedule: don't dispose of them. */
export interface ScheduleTables {
  /** β_t. */
  readonly betas: Tensor;
  /** ᾱ_t. */
  readonly alphaBars: Tensor;
  /** 1 − ᾱ_t. */
  readonly noiseVariances: Tensor;
  /** √ᾱ_t, what data are multiplied by. */
  readonly signals: Tensor;
  /** √(1 − ᾱ_t), the standard deviation of the noise. */
  readonly noises: Tensor;
}

/** f(t) for a step t of a schedule. */
export interface StepFunction {
  /**
   * What the table of f is kept under, with the schedule and the backend: a text that stands for one function, or an object that f
   * belongs to. Without it f is asked anew each time.
   */
  readonly key?: string | object;
  /** @throws Error at a step that has no value */
  at(t: number): number;
}

/** The schedule's tables on a backend, made when they are first asked for and kept as long as the schedule. */
export function scheduleTables(schedule: Schedule, backend: Backend): ScheduleTables {
  expectArguments("scheduleTables", { schedule, backend });
  const of = (key: string, at: (t: number) => number) => table(schedule, backend, { key, at });
  return {
    betas: of("beta", (t) => schedule.betas[t]),
    alphaBars: of("alphaBar", (t) => schedule.alphaBars[t]),
    noiseVariances: of("noiseVariance", (t) => schedule.noiseVariances[t]),
    signals: of("signal", (t) => Math.sqrt(schedule.alphaBars[t])),
    noises: of("noise", (t) => Math.sqrt(schedule.noiseVariances[t])),
  };
}

/**
 * @param first the first step that there is: −1 where the data count as one. Default 0
 * @throws Error unless there is a step per sample: a list of steps of the schedule, or an int32 tensor on x's backend
 */
export function checkSteps(name: string, { steps }: Schedule, times: Times, x: Tensor, first: 0 | -1 = 0): void {
  checkTimes(name, times, x, { dtypes: ["int32"] });
  if (times instanceof Tensor) return;
  const wrong = times.findIndex((t) => !(Number.isInteger(t) && t >= first && t < steps));
  if (wrong === -1) return;
  const range = first === 0 ? `[0, ${steps - 1}]` : `[−1, ${steps - 1}], −1 for the data`;
  throw new Error(`${name}: times[${wrong}] is ${times[wrong]}, want an integer in ${range}`);
}

/**
 * f(t) of each sample's step, [batch].
 * @param like tells the backend
 * @param times steps; of one in a tensor that is out of range the value is NaN
 * @throws Error at a step of a list that has no value; for a tensor, where any step of the schedule has none
 */
export function atSteps(schedule: Schedule, { backend }: Tensor, times: Times, f: StepFunction): Tensor {
  if (times instanceof Tensor) return table(schedule, backend, f).gather(times);
  return tensor(times.map(f.at), { backend });
}

/** The same as [batch, 1, …, 1], to broadcast over `like`, [batch, ...]. */
export function columnAtSteps(schedule: Schedule, like: Tensor, times: Times, f: StepFunction): Tensor {
  return asColumn(like, atSteps(schedule, like, times, f));
}

/** The tables of a schedule on a backend, by their keys. */
interface Kept {
  readonly texts: Map<string, Tensor>;
  readonly objects: WeakMap<object, Tensor>;
}

const kept = new WeakMap<Schedule, WeakMap<Backend, Kept>>();

function table(schedule: Schedule, backend: Backend, { key, at }: StepFunction): Tensor {
  const make = () =>
    tensor(
      Float64Array.from({ length: schedule.steps }, (_, t) => at(t)),
      { backend },
    );
  if (key === undefined) return make();
  const backends = kept.get(schedule) ?? new WeakMap<Backend, Kept>();
  kept.set(schedule, backends);
  const here = backends.get(backend) ?? { texts: new Map<string, Tensor>(), objects: new WeakMap<object, Tensor>() };
  backends.set(backend, here);
  const known = typeof key === "string" ? here.texts.get(key) : here.objects.get(key);
  if (known && !known.disposed) return known;
  const made = lasting(make);
  if (typeof key === "string") here.texts.set(key, made);
  else here.objects.set(key, made);
  return made;
}
