// Methods of Tensor for functions of one element: powers, exponentials, activations.

import { optionsOf, wrongArgument } from "../argument.ts";
import * as ops from "../ops/index.ts";
import type { Tensor } from "../tensor.ts";
import { Arithmetic } from "./arithmetic.ts";

/** Functions of one element. */
export abstract class Functions extends Arithmetic {
  /** x². */
  square(): Tensor {
    return this.only(ops.square, undefined);
  }

  /** √x; NaN of a negative x. */
  sqrt(): Tensor {
    return this.only(ops.sqrt, undefined);
  }

  /** 1 / √x. */
  rsqrt(): Tensor {
    return this.only(ops.rsqrt, undefined);
  }

  /** eˣ. */
  exp(): Tensor {
    return this.only(ops.exp, undefined);
  }

  /** eˣ − 1, without the loss of digits near 0. */
  expm1(): Tensor {
    return this.only(ops.expm1, undefined);
  }

  /** The natural logarithm. */
  log(): Tensor {
    return this.only(ops.log, undefined);
  }

  /** log(1 + x), without the loss of digits near 0. */
  log1p(): Tensor {
    return this.only(ops.log1p, undefined);
  }

  /** sin x, of x in radians. */
  sin(): Tensor {
    return this.only(ops.sin, undefined);
  }

  /** cos x, of x in radians. */
  cos(): Tensor {
    return this.only(ops.cos, undefined);
  }

  /** The hyperbolic tangent of x. */
  tanh(): Tensor {
    return this.only(ops.tanh, undefined);
  }

  /** The error function 2/√π ∫₀ˣ e^(−u²) du. */
  erf(): Tensor {
    return this.only(ops.erf, undefined);
  }

  /** log Φ(x), Φ the standard normal distribution, also where Φ(x) itself is no number any more. */
  logNdtr(): Tensor {
    return this.only(ops.logNdtr, undefined);
  }

  /** 1 / (1 + e⁻ˣ). */
  sigmoid(): Tensor {
    return this.only(ops.sigmoid, undefined);
  }

  /** x · sigmoid(x), also called swish. */
  silu(): Tensor {
    return this.only(ops.silu, undefined);
  }

  /**
   * x · Φ(x), Φ the standard normal distribution (Hendrycks & Gimpel 2016).
   * @param options `approximate: "tanh"` for the form with a tanh in the place of Φ, as GPT-2 has it; within 5e-4 of the other
   */
  gelu(options: { readonly approximate?: "none" | "tanh" } = {}): Tensor {
    const { approximate = "none" } = optionsOf("gelu", options, '{ approximate: "tanh" }');
    if (approximate !== "none" && approximate !== "tanh") {
      throw wrongArgument("gelu", "approximate", approximate, '"none" or "tanh"');
    }
    return this.only(approximate === "tanh" ? ops.geluTanh : ops.gelu, undefined);
  }

  /** max(x, 0). */
  relu(): Tensor {
    return this.only(ops.relu, undefined);
  }

  /** log(1 + eˣ). */
  softplus(): Tensor {
    return this.only(ops.softplus, undefined);
  }
}
