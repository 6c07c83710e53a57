// The two branches of guidance by labels: what one network predicts with the labels of a call, and without them.

import { type Conditioning, checkLabels, checkTimes, type Labels, type Times } from "@pkg/nn";
import { concat, full, Tensor } from "@pkg/tensor";
import type { Model } from "../model/model.ts";
import { predictedPart } from "./predictedPart.ts";

/** What a network predicts with the labels of a call, and without them. */
export interface Branches {
  readonly conditional: Tensor;
  readonly unconditional: Tensor;
  /** Channels of learned variances, the conditional ones. */
  readonly raw?: Tensor;
}

/**
 * Both, by one call of the model with twice the batch.
 * @param classes the number of classes, which stands for no label in a tensor of labels
 * @throws Error for a call without labels, or with too few or many
 */
export function bothBranches(
  name: string,
  model: Model,
  x: Tensor,
  times: Times,
  conditioning: Conditioning,
  classes: number | undefined,
): Branches {
  const { numbers } = conditioning;
  const labels = labelsOf(name, x, times, conditioning);
  const both = model.forward(concat([x, x]), joined(name, times, times), {
    ...conditioning,
    labels: joined(name, labels, nullLabels(name, x, labels, classes)),
    ...(numbers && {
      numbers: Object.fromEntries(
        Object.entries(numbers).map(([number, values]) => [number, joined(name, values, values)]),
      ),
    }),
  });
  const [labelled, unlabelled] = both.split(x.shape[0]);
  const { prediction, raw } = predictedPart(labelled, x);
  return { conditional: prediction, unconditional: predictedPart(unlabelled, x).prediction, raw };
}

/** The labels of a call. @throws Error for none, and for labels or times that do not fit x */
export function labelsOf(name: string, x: Tensor, times: Times, { labels }: Conditioning): Labels {
  if (!labels) throw new Error(`${name}: no labels in the call, want one per sample`);
  checkLabels(name, labels, x);
  checkTimes(name, times, x);
  return labels;
}

/** The values of two batches, one after the other. */
function joined<Value extends number | null>(
  name: string,
  a: Tensor | readonly Value[],
  b: Tensor | readonly Value[],
): Tensor | readonly Value[] {
  if (a instanceof Tensor && b instanceof Tensor) return concat([a, b]);
  if (a instanceof Tensor || b instanceof Tensor) throw new Error(`${name}: a list beside a tensor, want both alike`);
  return [...a, ...b];
}

/** As many labels that stand for none, in the form of those given. */
export function nullLabels(name: string, x: Tensor, labels: Labels, classes: number | undefined): Labels {
  if (!(labels instanceof Tensor)) return new Array<null>(labels.length).fill(null);
  if (!(Number.isInteger(classes) && Number(classes) > 0))
    throw new Error(`${name}: labels is a tensor and classes is ${classes}, want their number`);
  return full(labels.shape, Number(classes), { backend: x.backend, dtype: "int32" });
}
