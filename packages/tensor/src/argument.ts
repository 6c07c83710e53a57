// Checks of argument types, which plain JavaScript does not check. Each error names the argument and what was wanted.

import type { Backend } from "./backend.ts";
import type { Tensor } from "./tensor.ts";

/**
 * The error for an argument of the wrong kind: `name: argument is a promise (await it), want …`. For libraries that build on
 * this one.
 */
export function wrongArgument(name: string, argument: string, value: unknown, wanted: string): Error {
  return new Error(`${name}: ${argument} is ${describe(value)}, want ${wanted}`);
}

/** Refuses what is not a tensor. @throws Error naming function and argument */
export function expectTensor(name: string, argument: string, value: unknown): asserts value is Tensor {
  if (!isTensor(value)) throw wrongArgument(name, argument, value, "a tensor");
}

/** Refuses what is not a list of tensors. @throws Error naming function, argument and index */
export function expectTensors(name: string, argument: string, value: unknown): asserts value is readonly Tensor[] {
  if (!Array.isArray(value)) throw wrongArgument(name, argument, value, "a list of tensors");
  for (const [k, item] of value.entries()) expectTensor(name, `${argument}[${k}]`, item);
}

/** Refuses what is not a function. @throws Error naming function and argument */
export function expectFunction(name: string, argument: string, value: unknown): void {
  if (typeof value !== "function") throw wrongArgument(name, argument, value, "a function");
}

/** Refuses what is not a backend. @throws Error naming function and argument */
export function expectBackend(name: string, argument: string, value: unknown): asserts value is Backend {
  if (!isBackend(value)) throw wrongArgument(name, argument, value, "a backend, such as cpu() or await wasm()");
}

/** Refuses what is not a number. @throws Error naming function and argument */
export function expectNumber(name: string, argument: string, value: unknown): void {
  if (typeof value !== "number") throw wrongArgument(name, argument, value, "a number");
}

/** Refuses what is not a random stream. @throws Error naming the function */
export function expectStream(name: string, value: unknown): void {
  if (typeof (value as { take?: unknown } | null | undefined)?.take !== "function") {
    throw wrongArgument(name, "rng", value, "a random stream, such as randomStream(0)");
  }
}

/** Refuses what is not an array, such as one argument per axis. @throws Error naming function and argument */
export function expectList(name: string, argument: string, value: unknown, wanted: string): void {
  if (!Array.isArray(value)) throw wrongArgument(name, argument, value, wanted);
}

/**
 * The given options, {} for undefined and null.
 * @param example what the options look like, for the error: `{ keepAxes: true }`
 * @throws Error for what is not a plain object, which would otherwise be ignored
 */
export function optionsOf<Options extends object>(
  name: string,
  options: Options | null | undefined,
  example: string,
): Partial<Options> {
  if (options === undefined || options === null) return {};
  const isOther = Array.isArray(options) || ArrayBuffer.isView(options) || isTensor(options) || isBackend(options);
  if (typeof options !== "object" || isOther || "then" in options) {
    throw wrongArgument(name, "options", options, `an object such as ${example}`);
  }
  return options;
}

/** Whether a value is a tensor. */
export function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "slot" in value && "origin" in value && "layout" in value;
}

function isBackend(value: unknown): value is Backend {
  return typeof value === "object" && value !== null && "allocate" in value && "download" in value;
}

/** A value in words, for an error. */
function describe(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value !== "object" || value === null) return String(value);
  if (isTensor(value)) return `${value}`;
  if (isBackend(value)) return `the backend ${value.name}`;
  if ("then" in value) return "a promise (await it)";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  const names = Object.keys(value);
  const shown = names.slice(0, 3).join(", ") + (names.length > 3 ? ", …" : "");
  return names.length === 0 ? "an object without fields" : `an object with ${shown}`;
}

/** Refuses options that are not an object. @throws Error naming the function */
export function expectOptions(name: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw wrongArgument(name, "options", value, "an object");
}
