// What a module consists of, as a flat list: whether it is still the same is told by comparing two.

import { Tensor } from "@pkg/tensor";

/** The fields of an object when they were last looked at: name, value, name, value, …. */
interface Fields {
  readonly of: object;
  readonly all: readonly unknown[];
}

/** The leaves of a module when they were last asked for. */
interface Known {
  readonly fields: readonly Fields[];
  readonly leaves: readonly unknown[];
}

const known = new WeakMap<object, Known>();

/**
 * All that a module and the objects in it hold, with the names of the fields. It is the same list as before, so that comparing takes no
 * time, if no field has been added, removed, renamed or given another value.
 */
export function leavesOf(module: object): readonly unknown[] {
  const before = known.get(module);
  if (before?.fields.every(isUnchanged)) return before.leaves;
  const fields = fieldsOf(module);
  const leaves = fields.flatMap(({ of, all }) => [of, all.length, ...all]);
  known.set(module, { fields, leaves });
  return leaves;
}

function isUnchanged({ of, all }: Fields): boolean {
  let k = 0;
  for (const name in of) {
    if (all[k] !== name || !Object.is(all[k + 1], of[name as keyof typeof of])) return false;
    k += 2;
  }
  return k === all.length;
}

function fieldsOf(module: object): Fields[] {
  const found: Fields[] = [];
  const seen = new Set<object>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || value instanceof Tensor || seen.has(value)) return;
    seen.add(value);
    const all: unknown[] = [];
    for (const name in value) all.push(name, value[name as keyof typeof value]);
    found.push({ of: value, all });
    for (let k = 1; k < all.length; k += 2) visit(all[k]);
  };
  visit(module);
  return found;
}
