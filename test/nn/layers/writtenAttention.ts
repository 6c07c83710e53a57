// Multi-head attention in plain lists of float64, for the tests of what uses it. Not a test.
import type { MultiheadAttention } from "@pkg/nn";
import type { Tensor } from "@pkg/tensor";
import { affine, listed } from "./layers.ts";

export type Sees = (batch: number, head: number, query: number, key: number) => boolean;
export interface Written {
  readonly sees?: Sees;
  readonly added?: (batch: number, head: number, query: number, key: number) => number;
}

/** The layer of so many heads in plain lists. */
export async function writtenAttention(
  layer: MultiheadAttention,
  heads: number,
  x: Tensor,
  context: Tensor,
  { sees, added }: Written = {},
): Promise<number[][][]> {
  const depth = layer.q.weight.shape[1] / heads;
  const normal = async (row: number[], scale: Tensor | undefined) => {
    if (!scale) return row;
    const gain = await scale.data();
    const size = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / row.length + 1e-6);
    return row.map((v, k) => (v / size) * gain[k]);
  };
  const [from, to] = [await listed<number[][][]>(x), await listed<number[][][]>(context)];
  const out: number[][][] = [];
  for (const batch of from.keys()) {
    const [q, k, v] = [
      await affine(from[batch], layer.q),
      await affine(to[batch], layer.k),
      await affine(to[batch], layer.v),
    ];
    const mixed = q.map(() => [] as number[]);
    for (let head = 0; head < heads; head++) {
      const part = (row: number[]) => row.slice(head * depth, (head + 1) * depth);
      for (const [i, row] of q.entries()) {
        const query = await normal(part(row), layer.qNorm?.scale);
        const keys = await Promise.all(k.map((one) => normal(part(one), layer.kNorm?.scale)));
        const scores = keys.map(
          (key, j) =>
            key.reduce((sum, value, c) => sum + value * query[c], 0) / Math.sqrt(depth) +
            (added?.(batch, head, i, j) ?? 0),
        );
        const weights = scores.map((s, j) => (sees && !sees(batch, head, i, j) ? 0 : Math.exp(s)));
        const total = weights.reduce((sum, w) => sum + w, 0);
        for (let c = 0; c < depth; c++)
          mixed[i].push(weights.reduce((sum, w, j) => sum + (w / total) * part(v[j])[c], 0));
      }
    }
    out.push(await affine(mixed, layer.out));
  }
  return out;
}
