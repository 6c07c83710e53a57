// The arguments of WebAssembly kernels: given by name, passed in the order of the kernel's parameters.

import { parameters } from "#kernels";

const known = new Map(Object.entries(parameters));

/**
 * The arguments of a kernel in the order in which its function takes them, after `begin` and `end`.
 * @param args by the names of its parameters; undefined counts as not given
 * @throws Error for kernels that are not there, and when a parameter has no argument or an argument no parameter
 */
export function inOrder<T>(kernel: string, args: Readonly<Record<string, T | undefined>>): T[] {
  const names = known.get(kernel);
  if (!names) throw new Error(`wasm: no kernel ${kernel}, want one of ${[...known.keys()].join(", ")}`);
  const ordered: T[] = [];
  for (const name of names) {
    const value = args[name];
    if (value === undefined) throw mismatch(kernel, names, args);
    ordered.push(value);
  }
  let given = 0;
  for (const name in args) if (args[name] !== undefined) given++;
  if (given !== names.length) throw mismatch(kernel, names, args);
  return ordered;
}

function mismatch(kernel: string, names: readonly string[], args: Readonly<Record<string, unknown>>): Error {
  const given = Object.keys(args).filter((name) => args[name] !== undefined);
  return new Error(`wasm: arguments ${given.join(", ") || "none"} for ${kernel}, want ${names.join(", ")}`);
}
