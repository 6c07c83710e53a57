// Methods of Tensor that normalise: softmax along an axis, group and layer normalisation.

import { expectNumber, optionsOf, wrongArgument } from "../argument.ts";
import * as ops from "../ops/index.ts";
import { resolveAxis, ShapeError } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Indexing } from "./indexing.ts";

/** Normalisation along an axis or over groups of channels. */
export abstract class Normalisation extends Indexing {
  /** eˣ / Σ eˣ along an axis, without overflow for large x. */
  softmax(axis = -1): Tensor {
    return this.alongLast("softmax", axis, (x) => x.only(ops.softmax, undefined));
  }

  /** ln softmax(x) = x − ln Σ eˣ along an axis, without overflow for large x. */
  logSoftmax(axis = -1): Tensor {
    return this.alongLast("logSoftmax", axis, (x) => x.only(ops.logSoftmax, undefined));
  }

  /**
   * Group normalisation (Wu & He 2018, arXiv:1803.08494) of [batch, ...spatial, channels]:
   * activation((x − mean) / √(variance + epsilon) · scale + bias), with mean and biased variance per sample and group of channels.
   * @param scale [channels]
   * @param bias [channels]
   * @param options `groups`: how many groups divide the channels. `epsilon` is 1e-5 by default. `activation` is "none" by default;
   * "silu" follows in the same pass
   * @throws ShapeError when the groups do not divide the channels, or scale or bias is not [channels]
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

  /**
   * Layer normalisation (Ba et al. 2016, arXiv:1607.06450): (x − mean) / √(variance + epsilon) · scale + bias along the last axis.
   * @param scale [n], n the length of the last axis
   * @param bias [n]
   * @param options `epsilon` is 1e-5 by default
   * @throws ShapeError for a scalar, or when scale or bias is not [n]
   */
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
