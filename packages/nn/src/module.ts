// What a module is (any object with `forward`), and its state, found by walking its fields. No base class, no registration.

import { type Backend, type Shape, ShapeError, Tensor, wrongArgument } from "@pkg/tensor";

/** Tensors by the path of their field: "down.0.blocks.1.conv1.weight". */
export type StateDict = ReadonlyMap<string, Tensor>;

/**
 * A module's tensors under their paths, in the order of its fields; arrays, maps and sets are walked too. What is held twice (tied
 * weights) stands here once, under the first of its paths.
 * @throws Error when `module` is no object, and when two tensors have one path
 */
export function stateDict(module: object): Map<string, Tensor> {
  if (!isWalked(module)) throw wrongArgument("module", "it", module, "an object with tensors in its fields");
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
  compare(wanted, found, misfit);
}

/** Compares the paths and shapes alone. @throws ShapeError listing what is missing, extra and misshapen in `found` */
export function checkShapes(wanted: StateDict, found: ReadonlyMap<string, { readonly shape: Shape }>): void {
  compare(wanted, found, shapeMisfit);
}

function compare<Value>(
  wanted: StateDict,
  found: ReadonlyMap<string, Value>,
  misfit: (target: Tensor, value: Value) => string,
): void {
  if (!(wanted instanceof Map)) throw wrongArgument("state", "what is wanted", wanted, "a Map of tensors by path");
  if (!(found instanceof Map)) throw wrongArgument("state", "it", found, "a Map of tensors by path");
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

/** Gives tensors the values of a state that was checked. */
export function assignState(own: StateDict, state: StateDict): void {
  for (const [path, target] of own) {
    const value = state.get(path);
    if (value) target.assign(value.detach());
  }
}

/** What keeps `target` from taking a value; "" where nothing does. */
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
