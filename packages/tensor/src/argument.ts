// Arguments of the wrong kind, which plain JavaScript lets pass: each is one error that names the argument and what was wanted.

import type { Backend } from "./backend.ts";
import type { Tensor } from "./tensor.ts";

/** For libraries on this one: `name: argument is a promise (await it), want …`. */
export function wrongArgument(name: string, argument: string, value: unknown, wanted: string): Error {
  return new Error(`${name}: ${argument} is ${describe(value)}, want ${wanted}`);
}

/** @throws Error when it is no tensor */
export function expectTensor(name: string, argument: string, value: unknown): asserts value is Tensor {
  if (!isTensor(value)) throw wrongArgument(name, argument, value, "a tensor");
}

/** @throws Error when it is no list of tensors */
export function expectTensors(name: string, argument: string, value: unknown): asserts value is readonly Tensor[] {
  if (!Array.isArray(value)) throw wrongArgument(name, argument, value, "a list of tensors");
  for (const [k, item] of value.entries()) expectTensor(name, `${argument}[${k}]`, item);
}

/** @throws Error when it is no function */
export function expectFunction(name: string, argument: string, value: unknown): void {
  if (typeof value !== "function") throw wrongArgument(name, argument, value, "a function");
}

/** @throws Error when it is no backend */
export function expectBackend(name: string, argument: string, value: unknown): asserts value is Backend {
  if (!isBackend(value)) throw wrongArgument(name, argument, value, "a backend, such as cpu() or await wasm()");
}

/** @throws Error when it is no number */
export function expectNumber(name: string, argument: string, value: unknown): void {
  if (typeof value !== "number") throw wrongArgument(name, argument, value, "a number");
}

/** @throws Error when it is no random stream */
export function expectStream(name: string, value: unknown): void {
  if (typeof (value as { take?: unknown } | null | undefined)?.take !== "function") {
    throw wrongArgument(name, "rng", value, "a random stream, such as randomStream(0)");
  }
}

/** @throws Error when it is no list: an argument each, as other libraries take them, is one number here */
export function expectList(name: string, argument: string, value: unknown, wanted: string): void {
  if (!Array.isArray(value)) throw wrongArgument(name, argument, value, wanted);
}

/**
 * Options as they are given, {} for none. Anything else than an object of fields would be passed by without a word.
 * @param example as `{ keepAxes: true }`
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

export function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "slot" in value && "origin" in value && "layout" in value;
}

function isBackend(value: unknown): value is Backend {
  return typeof value === "object" && value !== null && "allocate" in value && "download" in value;
}

/** A value in words: what it is, and of small ones which. */
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

/** @throws Error when options are no object */
export function expectOptions(name: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw wrongArgument(name, "options", value, "an object");
}
