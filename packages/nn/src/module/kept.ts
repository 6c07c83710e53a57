// Constant tensors that stay on a backend, each made once: tables of positions, sines and masks. They are no state of a module.

import { type Backend, lasting, type Tensor } from "@pkg/tensor";

const tables = new WeakMap<Backend, Map<string, Tensor>>();

/** The constant of that key on a backend, made at its first use. @param make takes nothing that the key does not tell */
export function kept(backend: Backend, key: string, make: () => Tensor): Tensor {
  const here = tables.get(backend) ?? new Map<string, Tensor>();
  tables.set(backend, here);
  const known = here.get(key);
  if (known && !known.disposed) return known;
  const made = lasting(make);
  here.set(key, made);
  return made;
}
