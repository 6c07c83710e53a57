// Fixed positions of a grid's places as vectors: what a transformer of patches adds to its tokens.

import { type Backend, defaultBackend, optionsOf, type Tensor, tensor } from "@pkg/tensor";
import { expectCount, expectPositive } from "../module/init.ts";
import { kept } from "../module/kept.ts";

/**
 * 2-D sine-cosine positions, row by row (Vaswani et al. 2017 on two axes; He et al. 2022, arXiv:2111.06377, as its code and DiT's have
 * them): [sin(c f₀) …, cos(c f₀) …, sin(r f₀) …, cos(r f₀) …] with c the column and r the row, from 0, f_k = P^(−k / n) and
 * n = channels / 4.
 * @param channels a multiple of 4
 * @param options `maxPeriod`: P, 10,000 by default
 * @returns [rows · columns, channels], a constant that stays on the backend
 * @throws Error for counts that are not positive integers, channels that 4 does not divide, or a period that is not positive
 */
export function sinCosPositions(
  rows: number,
  columns: number,
  channels: number,
  options: { readonly maxPeriod?: number; readonly backend?: Backend } = {},
): Tensor {
  for (const [name, value] of Object.entries({ rows, columns, channels })) expectCount("sinCosPositions", name, value);
  if (channels % 4 !== 0)
    throw new Error(`sinCosPositions: channels is ${channels}, want a multiple of 4 (sines and cosines of two axes)`);
  const { maxPeriod = 10_000, backend = defaultBackend() } = optionsOf("sinCosPositions", options, "{ backend }");
  if (backend === undefined) throw new Error("sinCosPositions: no backend, want { backend } or setDefaultBackend");
  expectPositive("sinCosPositions", "maxPeriod", maxPeriod);
  return kept(backend, `positions ${rows} ${columns} ${channels} ${maxPeriod}`, () => {
    const n = channels / 4;
    const values = new Float64Array(rows * columns * channels);
    for (let place = 0; place < rows * columns; place++) {
      const at = [place % columns, Math.floor(place / columns)];
      for (let k = 0; k < channels; k++) {
        const angle = at[Math.floor(k / (2 * n))] * maxPeriod ** (-(k % n) / n);
        values[place * channels + k] = k % (2 * n) < n ? Math.sin(angle) : Math.cos(angle);
      }
    }
    return tensor(values, { backend, shape: [rows * columns, channels] });
  });
}
