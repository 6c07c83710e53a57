// The most bytes that tensors must take at once in a computation: what peak memory is measured against.
import type { Tensor } from "@pkg/tensor";
import { observe } from "../packages/tensor/src/debug/observer.ts";
import type { Storage } from "../packages/tensor/src/memory/memory.ts";
import { sizeOf } from "../packages/tensor/src/shape.ts";

interface Life {
  readonly bytes: number;
  readonly born: number;
  /** The last op that reads it. */
  last: number;
}

/**
 * Runs `f` and adds up, at each of its ops, the storages that exist by then and that this or a later op reads; those in `lasting`
 * (parameters, moments, averages) and those that `f` reads without having made them count throughout. No order of freeing can do
 * with less, unless values are computed again.
 * @returns the largest of these sums, in bytes
 */
export function liveBytes(f: () => void, lasting: Iterable<Tensor>): number {
  const lives = new Map<Storage, Life>();
  const sizes = new Map<Storage, number>();
  let clock = 0;
  const see = (tensor: Tensor, born: number): void => {
    const { storage, shape } = tensor;
    // A view may show less of a storage than there is; the op that made it shows all.
    sizes.set(
      storage,
      Math.max(sizes.get(storage) ?? 0, 4 * sizeOf(shape.map((n, k) => (tensor.layout.strides[k] === 0 ? 1 : n)))),
    );
    const life = lives.get(storage);
    if (life) life.last = clock;
    else lives.set(storage, { bytes: 0, born, last: clock });
  };
  for (const tensor of lasting) see(tensor, 0);
  observe(f, (_, inputs, outputs) => {
    clock++;
    for (const input of inputs) see(input, 0);
    for (const output of outputs) see(output, clock);
  });
  const change = new Float64Array(clock + 2);
  for (const [storage, { born, last }] of lives) {
    const bytes = sizes.get(storage) ?? 0;
    change[born] += bytes;
    if (born > 0) change[last + 1] -= bytes;
  }
  let [sum, most] = [0, 0];
  for (const bytes of change) {
    sum += bytes;
    most = Math.max(most, sum);
  }
  return most;
}
