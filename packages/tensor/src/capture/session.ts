// What a captured function does beside queueing work: the host values that each step computes anew, and the tensors it meets.

import { expectFunction } from "../argument.ts";
import type { Backend } from "../backend.ts";
import type { Storage } from "../memory/memory.ts";
import type { Layout } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** A value of the host's: `target`, which everybody holds, gets its contents anew from `compute` at every step. */
export interface Source {
  readonly target: object;
  compute(): object;
}

/** A tensor that the host fills, as a pure function of values of the step; `data` are those of the recorded run. */
export interface Upload {
  readonly data: ArrayLike<number>;
  compute(): ArrayLike<number>;
}

/** Where a tensor had its elements. */
export interface Whereabouts {
  readonly storage: Storage;
  readonly layout: Layout;
}

/** One run of a captured function. */
export class Session {
  /** In the order in which they were computed, which draws of random streams depend on. */
  readonly sources: Source[] = [];
  readonly uploads: Upload[] = [];
  /** The tensors made outside of the function that it reads or assigns to, and where they lay at first. */
  readonly found = new Map<Tensor, Whereabouts>();
  /** Tensors of `found` that were assigned other storage; the old one belongs to this map. */
  readonly displaced = new Map<Tensor, Whereabouts>();
  /** Where the function computes. */
  backend: Backend | null;
  private readonly born = new WeakSet<Tensor>();
  /** What `perStep` gave → its target. */
  private readonly targets = new WeakMap<object, object>();
  private readonly live = new WeakSet<object>();
  private readonly isRecorded: boolean;
  private readonly args: readonly Tensor[];
  private computing: "" | "value" | "upload" = "";

  /** @param isRecorded whether storage that a tensor loses is to be kept until the end */
  constructor(backend: Backend | null, args: readonly Tensor[], isRecorded: boolean) {
    this.backend = backend;
    this.args = args;
    this.isRecorded = isRecorded;
  }

  /** Runs `f` as the captured function. */
  run<Result>(f: () => Result): Result {
    const before = current;
    current = this;
    try {
      return f();
    } finally {
      current = before;
    }
  }

  /** Whether the host may be read now, by something that a replay does again. */
  get isComputing(): boolean {
    return this.computing !== "";
  }

  /** Whether state of the host may change now. */
  get mayAdvance(): boolean {
    return this.computing === "value";
  }

  value<T extends object | null>(compute: () => T): T {
    const target = this.within("value", compute);
    if (target === null) return target;
    this.sources.push({ target, compute: compute as () => object }); // it gave an object now, and has to again
    const given = guarded(target);
    this.targets.set(given, target);
    this.live.add(target);
    return given as T; // the same but for the guard
  }

  upload(compute: () => ArrayLike<number>): ArrayLike<number> {
    const data = this.within("upload", compute);
    this.uploads.push({ data, compute });
    return data;
  }

  /** What a guarded value stands for; other values stand for themselves. */
  targetOf<T>(value: T): T {
    const target = typeof value === "object" && value !== null ? this.targets.get(value) : undefined;
    return (target ?? value) as T; // a target is what its guard was made of
  }

  /** Whether an object is computed anew at every step. */
  isLive(value: unknown): boolean {
    return typeof value === "object" && value !== null && (this.live.has(value) || this.targets.has(value));
  }

  /** Whether a tensor is an argument, which stands for another one at every step. */
  isArgument(tensor: Tensor): boolean {
    return this.args.includes(tensor);
  }

  /** Notes where something is computed. @throws Error where that is a second backend, whose work would not be replayed */
  use(backend: Backend): void {
    this.backend ??= backend;
    if (backend === this.backend) return;
    throw new Error(`capture: works on ${this.backend.name} and on ${backend.name}, want one backend`);
  }

  /** Notes a tensor that is made now. */
  bear(tensor: Tensor): void {
    this.born.add(tensor);
  }

  isBorn(tensor: Tensor): boolean {
    return this.born.has(tensor);
  }

  /** Notes a tensor that the function uses. */
  find(tensor: Tensor): void {
    if (this.born.has(tensor) || this.found.has(tensor)) return;
    this.found.set(tensor, { storage: tensor.storage, layout: tensor.layout });
  }

  /** Takes over the storage that a tensor is about to lose; false where it is of no interest. */
  displace(tensor: Tensor): boolean {
    if (!this.isRecorded || this.born.has(tensor) || this.displaced.has(tensor)) return false;
    this.displaced.set(tensor, { storage: tensor.storage, layout: tensor.layout });
    return true;
  }

  private within<T>(what: "value" | "upload", compute: () => T): T {
    const before = this.computing;
    this.computing = what;
    try {
      return compute();
    } finally {
      this.computing = before;
    }
  }
}

let current: Session | null = null;

/** The captured function that runs now, if any. */
export function currentSession(): Session | null {
  return current;
}

/**
 * A host value that every step computes anew: numbers in an array or a plain object, such as a learning rate or drawn times. In
 * functions that are not captured this is `compute()`. Of a captured function (see `capture`) a replay runs `compute` alone, and
 * puts what it gives into the very object that was returned at first; so that nothing goes on with old numbers, its elements may
 * be read only inside of `perStep` and of functions handed to `tensor`, where the captured function would throw otherwise.
 * @param compute may advance what it closes over (a count of steps, a random stream), and has to read it anew: a number that the
 * captured function worked out before stays what it was. Null where there is nothing to compute
 */
export function perStep<T extends object | null>(compute: () => T): T {
  expectFunction("perStep", "compute", compute);
  return current && !current.isComputing ? current.value(compute) : compute();
}

/**
 * Refuses what a replay would not do again.
 * @throws Error in a captured function, outside of `perStep`
 */
export function refuseInCapture(what: string, want: string): void {
  if (current && !current.mayAdvance) {
    throw new Error(`capture: ${what} in a captured function would happen at the first steps only, want ${want}`);
  }
}

/** Gives a target the contents of a new value. @throws Error where they do not fit */
export function refresh(target: object, value: object): void {
  if (Array.isArray(target) || ArrayBuffer.isView(target)) {
    const [to, from] = [target, value] as [number[], ArrayLike<number>]; // or typed arrays, which are filled alike
    if (to.length !== from.length) throw new Error(lengthChanged(to.length, from.length));
    for (let i = 0; i < to.length; i++) to[i] = from[i];
  } else Object.assign(target, value);
}

/** What to say when a value of the step has not as many numbers as at first. */
export function lengthChanged(before: number, now: number): string {
  return `capture: a value of each step has ${now} numbers and had ${before} at first, want as many every time`;
}

/** The same object, but for refusing to be read where a replay would not read it again. */
function guarded(target: object): object {
  if (ArrayBuffer.isView(target)) return target; // typed arrays are read by native code, which no proxy can pass for
  return new Proxy(target, {
    get(object, key, receiver) {
      if (
        current &&
        !current.isComputing &&
        typeof key === "string" &&
        Object.hasOwn(object, key) &&
        key !== "length"
      ) {
        throw new Error(
          `capture: ${key} of a value of each step is read where a replay would not read it again, want that in perStep, or in a function handed to tensor`,
        );
      }
      return Reflect.get(object, key, receiver);
    },
  });
}
