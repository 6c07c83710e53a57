// Numbers of each sample that a network is told, times above all, and labels: lists of the host or tensors, and how they are refused.

import { type DType, Tensor, wrongArgument } from "@pkg/tensor";

/**
 * One number per sample, such as its time or its σ: a list, which is checked and uploaded, or a tensor [batch] on the backend
 * of x. A float32 tensor holds any numbers and can be differentiated by; an int32 tensor holds steps of a schedule.
 */
export type Times = Tensor | readonly number[];

/**
 * One class per sample: a list of integers in [0, classes), with null for none; or an int32 tensor [batch], with `classes` for
 * none. The model's output is NaN for an index outside of that in a tensor.
 */
export type Labels = Tensor | readonly (number | null)[];

/**
 * Refuses times that do not fit x, or are not finite numbers in a list, before any work.
 * @param options what: the numbers' name in errors, "times" by default; dtypes: the types that a tensor may have, float32 and
 * int32 by default
 * @throws Error unless there is one number per sample, for one of a list that is not finite, and for a tensor of another shape, type
 * or backend: `unet: times is Tensor(…), want …`
 */
export function checkTimes(
  name: string,
  times: Times,
  x: Tensor,
  options: { readonly what?: string; readonly dtypes?: readonly DType[] } = {},
): void {
  const { what = "times", dtypes = ["float32", "int32"] } = options;
  checkEach(name, times, x, { what, dtypes, wanted: "a list of numbers or a tensor" });
  if (times instanceof Tensor) return;
  const wrong = times.findIndex((time) => !Number.isFinite(time));
  if (wrong !== -1) throw new Error(`${name}: ${what}[${wrong}] is ${times[wrong]}, want finite numbers`);
}

/** Refuses labels that do not fit x. @throws Error unless there is one label per sample; for a tensor of another shape, type or backend */
export function checkLabels(name: string, labels: Labels, x: Tensor): void {
  checkEach(name, labels, x, { what: "labels", dtypes: ["int32"], wanted: "a list of classes or a tensor" });
}

function checkEach(
  name: string,
  given: Tensor | readonly unknown[],
  x: Tensor,
  { what, dtypes, wanted }: { readonly what: string; readonly dtypes: readonly DType[]; readonly wanted: string },
): void {
  if (!(x instanceof Tensor)) throw wrongArgument(name, "x", x, "a tensor");
  const {
    shape: [batch],
    backend,
  } = x;
  if (given instanceof Tensor) {
    const fits = given.rank === 1 && given.shape[0] === batch && dtypes.includes(given.dtype);
    if (fits && given.backend === backend) return;
    const other = given.backend.name === backend.name && given.backend !== backend ? ", opened on its own," : "";
    throw new Error(
      `${name}: ${what} is ${given}${other} for a batch of ${batch}, want ${dtypes.join(" or ")} [${batch}] on x's backend, ${backend.name}`,
    );
  }
  if (!(Array.isArray(given) || ArrayBuffer.isView(given))) throw wrongArgument(name, what, given, wanted);
  if (given.length !== batch)
    throw new Error(`${name}: ${given.length} ${what} for a batch of ${batch}, want one per sample`);
}
