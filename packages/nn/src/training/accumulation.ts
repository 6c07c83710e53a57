// The gradient of a batch from those of its micro-batches, one after another.

import { full, Tensor, tidy, valueAndGrad, wrongArgument } from "@pkg/tensor";

/** A batch in parts. */
export interface Accumulation<Batch> {
  /**
   * Micro-batches of equal size: each is a tensor, or a list or object of tensors and lists, of the same shapes and lengths as the
   * first. Only one of them is in memory as a graph at a time.
   */
  readonly batches: readonly Batch[];
}

/** The mean of the losses of all micro-batches, its gradients, and which of `xs` any of them depends on. */
export interface Accumulated {
  readonly value: Tensor;
  /** One a parameter; zeros where it is not reached. */
  readonly grads: readonly Tensor[];
  readonly reached: readonly boolean[];
}

/**
 * ∇ (1/n) Σ loss(batchₖ) as the sum of the n gradients, each of loss(batchₖ) / n.
 * @param loss a mean over its batch: then the result is that of one batch of all samples, within rounding
 * @param scale the scale of the losses; 1 without it
 */
export function accumulatedGrads<Batch>(
  loss: (batch: Batch) => Tensor,
  xs: readonly Tensor[],
  { batches, scale }: Accumulation<Batch> & { readonly scale?: Tensor },
): Accumulated {
  if (typeof loss !== "function") throw wrongArgument("minimize", "loss", loss, "a function of a micro-batch");
  checkBatches(batches);
  const share = 1 / batches.length;
  const { backend } = xs[0];
  return tidy(() => {
    const each = batches.length === 1 ? scale : (scale?.mul(share) ?? full([], share, { backend }));
    const sums: (Tensor | undefined)[] = xs.map(() => undefined);
    const values = batches.map((batch) => {
      const { value, grads, reached } = valueAndGrad(() => loss(batch), xs, { scale: each });
      for (const [k, grad] of grads.entries()) {
        const sum = sums[k];
        if (!reached[k]) grad.dispose();
        else if (!sum) sums[k] = grad;
        else {
          sums[k] = sum.add(grad);
          sum.dispose();
          grad.dispose();
        }
      }
      return value;
    });
    return {
      value: values.length === 1 ? values[0] : values.reduce((sum, value) => sum.add(value)).mul(share),
      grads: sums.map((sum, k) => sum ?? full(xs[k].shape, 0, { backend })),
      reached: sums.map((sum) => sum !== undefined),
    };
  });
}

/**
 * Refuses micro-batches of which the mean of means is not the mean.
 * @throws Error naming the part of a batch that differs from that of the first, and for batches that have no size
 */
function checkBatches(batches: readonly unknown[]): void {
  const wanted = "a list of at least one micro-batch";
  if (!Array.isArray(batches) || batches.length === 0) throw wrongArgument("minimize", "batches", batches, wanted);
  const first = new Map(sizesOf(batches[0], ""));
  if (first.size === 0) {
    throw wrongArgument("minimize", "batches[0]", batches[0], "a tensor, or a list or object of tensors and lists");
  }
  for (const [k, batch] of batches.entries()) {
    const sizes = new Map(sizesOf(batch, ""));
    for (const path of new Set([...first.keys(), ...sizes.keys()])) {
      const [given, want] = [sizes.get(path) ?? "none", first.get(path) ?? "none"];
      if (given !== want) throw new Error(`minimize: batches[${k}]${path} is ${given}, want ${want} as in batches[0]`);
    }
  }
}

/** The tensors and lists in a batch: where they are, and how large. */
function* sizesOf(value: unknown, path: string): Iterable<[path: string, size: string]> {
  if (typeof value !== "object" || value === null) return;
  if (value instanceof Tensor) yield [path, `${value.dtype} [${value.shape.join(", ")}]`];
  else if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    yield [path, `a list of ${(value as ArrayLike<unknown>).length}`];
    if (Array.isArray(value)) for (const [k, part] of value.entries()) yield* sizesOf(part, `${path}[${k}]`);
  } else for (const [name, part] of Object.entries(value)) yield* sizesOf(part, `${path}.${name}`);
}
