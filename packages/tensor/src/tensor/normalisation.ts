// Methods of Tensor that normalise: softmax along an axis, group and layer normalisation.

import { expectNumber, optionsOf, wrongArgument } from "../argument.ts";
import * as ops from "../ops/index.ts";
import { resolveAxis, ShapeError } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Indexing } from "./indexing.ts";

/** Normalisation along an axis or over groups of channels. */
export abstract class Normalisation extends Indexing {
  /** e^x / Σ e^x along an axis, for x of any size. */
  softmax(axis = -1): Tensor {
    return this.alongLast("softmax", axis, (x) => x.only(ops.softmax, undefined));
  }

  /** log softmax(x): x − log Σ e^x along an axis. */
  logSoftmax(axis = -1): Tensor {
    return this.alongLast("logSoftmax", axis, (x) => x.only(ops.logSoftmax, undefined));
  }

  /**
   * activation((x − mean) / √(variance + epsilon) · scale + bias) with the mean and variance over all positions and the channels
   * of one group, for each sample (Wu & He 2018). This is [batch, ...spatial, channels]; scale and bias are [channels].
   * @param options `groups` divides the channels; `activation` is none by default, or "silu"
   */
  groupNorm(
    scale: Tensor,
    bias: Tensor,
    options: { readonly groups: number; readonly epsilon?: number; readonly activation?: "none" | "silu" },
  ): Tensor {
    const { groups, epsilon = 1e-5, activation = "none" } = optionsOf("groupNorm", options, "{ groups: 32 }");
    if (groups === undefined) throw wrongArgument("groupNorm", "groups", groups, "how many groups divide the channels");
    expectNumber("groupNorm", "epsilon", epsilon);
    return this.apply(ops.groupNorm, [this.self, scale, bias], { groups, epsilon, activation })[0];
  }

  /** (x − mean) / √(variance + epsilon) · scale + bias along the last axis, whose length scale and bias have. */
  layerNorm(scale: Tensor, bias: Tensor, options: { readonly epsilon?: number } = {}): Tensor {
    const { epsilon } = optionsOf("layerNorm", options, "{ epsilon: 1e-5 }");
    if (this.rank === 0) throw new ShapeError("layerNorm: shape [], want a last axis");
    const rows = this.reshape([-1, this.shape[this.rank - 1]]);
    return rows.groupNorm(scale, bias, { groups: 1, epsilon }).reshape(this.shape);
  }

  /** A function of the last axis, on another one. */
  private alongLast(name: string, axis: number, f: (x: Tensor) => Tensor): Tensor {
    const at = resolveAxis(name, axis, this.rank);
    return at === this.rank - 1 ? f(this.self) : f(this.transpose(at, -1)).transpose(at, -1);
  }
}
