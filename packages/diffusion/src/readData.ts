// Data that are looked at before anything is computed of them, so that no model is blamed for what is wrong with them.

import { nonFiniteCount, stack, type Tensor, tidy } from "@pkg/tensor";

/** Scalars of data, with one reading for them and a look at the data. @throws Error for data that are not finite */
export async function readData(
  name: string,
  x: Tensor,
  scalars: () => readonly Tensor[] = () => [],
): Promise<readonly number[]> {
  const read = tidy(() => stack([nonFiniteCount([x]).cast("float32"), ...scalars()]));
  const [faulty, ...values] = await read.data();
  read.dispose();
  if (faulty > 0) throw new Error(`${name}: data have ${faulty} elements that are NaN or infinite, want finite ones`);
  return values;
}
