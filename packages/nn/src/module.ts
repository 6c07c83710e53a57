// What a module is (any object with `forward`), and its state, found by walking its fields. No base class, no registration.

import { type Shape, ShapeError, Tensor } from "@pkg/tensor";

/** Tensors by the path of their field: "down.0.blocks.1.conv1.weight". */
export type StateDict = ReadonlyMap<string, Tensor>;

/** A module's tensors under their paths, in the order of its fields. */
export function stateDict(module: object): Map<string, Tensor> {
  const state = new Map<string, Tensor>();
  const visit = (value: unknown, path: string): void => {
    if (value instanceof Tensor) state.set(path, value);
    else if (Array.isArray(value)) for (const [k, item] of value.entries()) visit(item, join(path, `${k}`));
    else if (isPlain(value)) for (const [name, item] of Object.entries(value)) visit(item, join(path, name));
  };
  visit(module, "");
  return state;
}

/** What an optimizer trains: every tensor of a module, in the order of its fields. */
export function parameters(module: object): Tensor[] {
  return [...stateDict(module).values()];
}

/** The number of trained numbers. */
export function parameterCount(module: object): number {
  return parameters(module).reduce((sum, { size }) => sum + size, 0);
}

/**
 * Gives a module's tensors the values of a state of the same paths and shapes; they are copied.
 * @throws ShapeError listing every missing, extra and misshapen entry; the module is unchanged then
 */
export function loadStateDict(module: object, state: StateDict): void {
  const own = stateDict(module);
  checkState(
    new Map([...own].map(([path, { shape }]) => [path, shape])),
    new Map([...state].map(([path, { shape }]) => [path, shape])),
  );
  for (const [path, target] of own) {
    const value = state.get(path);
    if (value) target.assign(value.detach());
  }
}

/** Compares shapes by path. @throws ShapeError listing what is missing, extra and misshapen in `found` */
export function checkState(wanted: ReadonlyMap<string, Shape>, found: ReadonlyMap<string, Shape>): void {
  const faults = [
    ...[...wanted.keys()].filter((path) => !found.has(path)).map((path) => `${path} is missing`),
    ...[...found.keys()].filter((path) => !wanted.has(path)).map((path) => `${path} is not part of it`),
    ...[...wanted].flatMap(([path, shape]) => {
      const other = found.get(path);
      return other && `${other}` !== `${shape}` ? [`${path} is [${other}], want [${shape}]`] : [];
    }),
  ];
  if (faults.length > 0) {
    const [shown, rest] = [faults.slice(0, 8), faults.length - 8];
    throw new ShapeError(`state: does not fit the module: ${shown.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}`);
  }
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function isPlain(value: unknown): value is object {
  return (
    typeof value === "object" &&
    value !== null &&
    !ArrayBuffer.isView(value) &&
    !(value instanceof Map) &&
    !(value instanceof Set)
  );
}
