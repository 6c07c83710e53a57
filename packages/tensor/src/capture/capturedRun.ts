// A captured function's step that ran as it is: what it did on the host, what it queued, what it gave, and how two compare.

import type { Backend, Difference, Recording } from "../backend.ts";
import { copy } from "../ops/index.ts";
import { isContiguous, type Spec } from "../shape.ts";
import { apply, putBack, Tensor } from "../tensor.ts";
import { refresh, type Session } from "./session.ts";

/** A step that ran as it is: what it did on the host, what it queued, and what it gave. */
export interface Run {
  readonly session: Session;
  readonly recording: Recording;
  readonly outputs: readonly Output[];
  readonly template: Template;
}

/** A tensor of the result. */
export interface Output extends Spec {
  readonly backend: Backend;
  readonly buffer: object;
}

/** The result with other tensors in the places of its own. */
export type Template = (tensors: readonly Tensor[]) => unknown;

/** Whether the tensors that a step uses still lie where the recorded commands find them. */
export function isInPlace({ found }: Session): boolean {
  for (const [{ slot, layout }, was] of found) {
    if (slot.storage !== was.storage || layout !== was.layout) return false;
  }
  return true;
}

/**
 * Moves what was assigned in a recorded step to the storage that the tensors had before, where the next step's commands find it.
 * @returns what stands in the way, or ""
 */
export function settle({ displaced }: Session): string {
  let obstacle = "";
  for (const [tensor, was] of displaced) {
    displaced.delete(tensor);
    const isFree = !was.storage.isShared && isContiguous(was.layout) && was.layout.offset === 0;
    if (isFree && !tensor.disposed) putBack(tensor, was);
    else {
      was.storage.release();
      obstacle = `${tensor} is assigned to while another tensor shares its elements`;
    }
  }
  return obstacle;
}

/** Lets go of the storage that a step that failed has given back. */
export function abandon({ displaced }: Session): void {
  for (const { storage } of displaced.values()) storage.release();
  displaced.clear();
}

/** A tensor of the result with storage of its own. */
export function separate(tensor: Tensor, session: Session): Tensor {
  const { storage, layout, backend } = tensor;
  const isOwn = session.isBorn(tensor) && !storage.isShared && isContiguous(layout) && layout.offset === 0;
  return isOwn ? tensor : apply(copy, [tensor], undefined, backend)[0];
}

/** @throws Error for anything but tensors in it */
export function templateOf(value: unknown, path: string, found: Tensor[]): Template {
  if (value === undefined) return () => undefined;
  if (value instanceof Tensor) {
    const place = found.indexOf(value); // one tensor in two places of the result is one in all results
    const k = place === -1 ? found.push(value) - 1 : place;
    return (tensors) => tensors[k];
  }
  if (Array.isArray(value)) {
    const parts = value.map((part, k) => templateOf(part, `${path}[${k}]`, found));
    return (tensors) => parts.map((part) => part(tensors));
  }
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    const parts = Object.entries(value).map(
      ([name, part]) => [name, templateOf(part, `${path}.${name}`, found)] as const,
    );
    return (tensors) => Object.fromEntries(parts.map(([name, part]) => [name, part(tensors)]));
  }
  throw new Error(
    `capture: ${path} is ${typeof value === "object" ? "no plain object" : `a ${typeof value}`}, want tensors alone`,
  );
}

/** What a replay has to know of a result. */
export function outputOf({ shape, dtype, backend, storage }: Tensor): Output {
  return { shape, dtype, backend, buffer: storage.buffer };
}

/** How a step differs from the one before; null where a replay of that gives the same. */
export function differenceOf(before: Run, run: Run): Difference | null {
  const [had, has] = [before.session, run.session];
  for (const [tensor, { storage }] of has.found) {
    if (had.found.get(tensor)?.storage !== storage)
      return { reason: `${tensor} has other storage, or is another`, kind: "place" };
  }
  const queued = run.recording.difference(before.recording);
  if (queued) return queued;
  if (had.found.size !== has.found.size || had.sources.length !== has.sources.length) {
    return { reason: "it uses other tensors, or other numbers of the host", kind: "ops" };
  }
  // What the host writes has to follow from the values of the step: here from this run's, by the functions of the one before.
  for (const [k, { target }] of had.sources.entries()) refresh(target, has.sources[k].target);
  for (const [k, { compute }] of had.uploads.entries()) {
    const { data } = has.uploads[k];
    const expected = compute();
    if (
      data.length !== expected.length ||
      !Array.prototype.every.call(data, (value, i) => Object.is(value, expected[i]))
    ) {
      const reason = `the values of tensor ${k} (of ${data.length} numbers) depend on more than arguments and perStep`;
      return { reason, kind: "numbers" };
    }
  }
  return null;
}
