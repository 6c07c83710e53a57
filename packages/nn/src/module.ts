// What a module is (any object with `forward`), and its state, found by walking its fields. No base class, no registration.

import { type Backend, ShapeError, Tensor } from "@pkg/tensor";

/** Tensors by the path of their field: "down.0.blocks.1.conv1.weight". */
export type StateDict = ReadonlyMap<string, Tensor>;

/**
 * A module's tensors under their paths, in the order of its fields; arrays, maps and sets are walked too. What is held twice (tied
 * weights) stands here once, under the first of its paths.
 * @throws Error when `module` is no object, and when two tensors have one path
 */
export function stateDict(module: object): Map<string, Tensor> {
  if (!isWalked(module)) {
    throw new Error(`module: ${describe(module)} given, want an object with tensors in its fields`);
  }
  const state = new Map<string, Tensor>();
  const seen = new Set<object>();
  const visit = (value: unknown, path: string): void => {
    if (!(value instanceof Tensor || isWalked(value)) || seen.has(value)) return;
    seen.add(value);
    if (value instanceof Tensor) {
      if (state.has(path)) throw new Error(`module: two tensors at ${path}, want fields whose paths differ`);
      state.set(path, value);
    } else {
      for (const [name, item] of fieldsOf(value)) visit(item, path === "" ? `${name}` : `${path}.${name}`);
    }
  };
  visit(module, "");
  return state;
}

/** Where a module's tensors are; undefined for one without any. */
export function backendOf(module: object): Backend | undefined {
  return stateDict(module).values().next().value?.backend;
}

/**
 * Gives a module's tensors the values of a state of the same paths, shapes, types and backend; they are copied.
 * @throws ShapeError listing every missing, extra and misfit entry; the module is unchanged then
 */
export function loadStateDict(module: object, state: StateDict): void {
  const own = stateDict(module);
  checkState(own, state);
  assignState(own, state);
}

/** Compares two states by path. @throws ShapeError listing what is missing, extra and misfit in `found` */
export function checkState(wanted: StateDict, found: StateDict): void {
  if (!(found instanceof Map)) throw new Error(`state: ${describe(found)} given, want a Map of tensors by path`);
  const faults = [
    ...[...wanted.keys()].filter((path) => !found.has(path)).map((path) => `${path} is missing`),
    ...[...found.keys()].filter((path) => !wanted.has(path)).map((path) => `${path} is not part of it`),
    ...[...wanted].flatMap(([path, tensor]) => {
      const fault = found.has(path) ? misfit(tensor, found.get(path)) : "";
      return fault === "" ? [] : [`${path} is ${fault}`];
    }),
  ];
  if (faults.length > 0) {
    const [shown, rest] = [faults.slice(0, 8), faults.length - 8];
    throw new ShapeError(`state: does not fit the module: ${shown.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}`);
  }
}

/** Gives tensors the values of a state that was checked. */
export function assignState(own: StateDict, state: StateDict): void {
  for (const [path, target] of own) {
    const value = state.get(path);
    if (value) target.assign(value.detach());
  }
}

/** What keeps `target` from taking a value; "" where nothing does. */
function misfit(target: Tensor, value: unknown): string {
  if (!(value instanceof Tensor)) return `${describe(value)}, want a tensor`;
  if (value.disposed) return "disposed, want a live tensor";
  if (`${value.shape}` !== `${target.shape}`) return `[${value.shape}], want [${target.shape}]`;
  if (value.dtype !== target.dtype) return `${value.dtype}, want ${target.dtype}`;
  if (value.backend !== target.backend)
    return `on another backend (${value.backend.name}), want ${target.backend.name}`;
  return "";
}

/** Whether a value may hold tensors in its fields or elements. */
function isWalked(value: unknown): value is object {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !(value instanceof Promise);
}

function fieldsOf(value: object): Iterable<[unknown, unknown]> {
  if (value instanceof Map || Array.isArray(value)) return value.entries();
  return value instanceof Set ? [...value].entries() : Object.entries(value);
}

function describe(value: unknown): string {
  if (value instanceof Promise) return "a promise (await it)";
  return typeof value === "object" && value !== null ? "an object" : `${typeof value} ${String(value)}`;
}
