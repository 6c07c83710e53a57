// The state of a module (any object with `forward`), found by walking its fields. No base class, no registration.

import { type Backend, type Shape, ShapeError, Tensor, wrongArgument } from "@pkg/tensor";

/** Tensors by the path of their field, such as "down.0.blocks.1.conv1.weight". */
export type StateDict = ReadonlyMap<string, Tensor>;

/**
 * A module's tensors by path, in the order of its fields; arrays, maps and sets are walked too. A tensor that is held twice
 * (tied weights) appears once, under its first path.
 * @throws Error when `module` is not an object, or two tensors have one path
 */
export function stateDict(module: object): Map<string, Tensor> {
  if (!isWalked(module)) throw wrongArgument("stateDict", "module", module, "an object with tensors in its fields");
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

/** The backend of a module's tensors; undefined for a module without tensors. */
export function backendOf(module: object): Backend | undefined {
  return stateDict(module).values().next().value?.backend;
}

/**
 * Copies a state into a module's tensors. Paths, shapes, types and backend must agree.
 * @throws ShapeError listing every missing, extra and misfit entry; the module is unchanged then
 */
export function loadStateDict(module: object, state: StateDict): void {
  const own = stateDict(module);
  checkState(own, state);
  assignState(own, state);
}

/**
 * Compares two states by path. @throws ShapeError listing what `found` lacks, has in excess, or has with another shape or type
 */
export function checkState(wanted: StateDict, found: StateDict): void {
  compare(wanted, found, misfit);
}

/** Compares paths and shapes. @throws ShapeError listing what `found` lacks, has in excess, or has with another shape */
export function checkShapes(wanted: StateDict, found: ReadonlyMap<string, { readonly shape: Shape }>): void {
  compare(wanted, found, shapeMisfit);
}

function compare<Value>(
  wanted: StateDict,
  found: ReadonlyMap<string, Value>,
  misfit: (target: Tensor, value: Value) => string,
): void {
  if (!(wanted instanceof Map)) throw wrongArgument("checkState", "wanted", wanted, "a Map of tensors by path");
  if (!(found instanceof Map)) throw wrongArgument("state", "the state", found, "a Map of tensors by path");
  const faults = [
    ...[...wanted.keys()].filter((path) => !found.has(path)).map((path) => `${path} is missing`),
    ...[...found.keys()].filter((path) => !wanted.has(path)).map((path) => `${path} is not part of it`),
    ...[...wanted].flatMap(([path, tensor]) => {
      const value = found.get(path);
      const fault = value === undefined ? "" : misfit(tensor, value);
      return fault === "" ? [] : [`${path} is ${fault}`];
    }),
  ];
  if (faults.length > 0) {
    const [shown, rest] = [faults.slice(0, 8), faults.length - 8];
    throw new ShapeError(`state: does not fit the module: ${shown.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}`);
  }
}

/** Copies a checked state into tensors. */
export function assignState(own: StateDict, state: StateDict): void {
  for (const [path, target] of own) {
    const value = state.get(path);
    if (value) target.assign(value.detach());
  }
}

/** Why `target` cannot take a value; "" if it can. */
function misfit(target: Tensor, value: unknown): string {
  if (!(value instanceof Tensor)) return "no tensor";
  if (value.disposed) return "disposed, want a live tensor";
  if (shapeMisfit(target, value)) return shapeMisfit(target, value);
  if (value.dtype !== target.dtype) return `${value.dtype}, want ${target.dtype}`;
  if (value.backend !== target.backend)
    return `on another backend (${value.backend.name}), want ${target.backend.name}`;
  return "";
}

function shapeMisfit({ shape: wanted }: Tensor, { shape }: { readonly shape: Shape }): string {
  return `${shape}` === `${wanted}` ? "" : `[${shape}], want [${wanted}]`;
}

/** Whether a value may hold tensors in its fields or elements. */
function isWalked(value: unknown): value is object {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !(value instanceof Promise);
}

function fieldsOf(value: object): Iterable<[unknown, unknown]> {
  if (value instanceof Map || Array.isArray(value)) return value.entries();
  return value instanceof Set ? [...value].entries() : Object.entries(value);
}
