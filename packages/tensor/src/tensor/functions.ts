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

  /** √x; NaN for x < 0. The derivative at 0 is infinite. */
  sqrt(): Tensor {
    return this.only(ops.sqrt, undefined);
  }

  /** 1 / √x; ∞ at 0, NaN for x < 0. */
  rsqrt(): Tensor {
    return this.only(ops.rsqrt, undefined);
  }

  /** eˣ. Infinite for x above about 88.7. */
  exp(): Tensor {
    return this.only(ops.exp, undefined);
  }

  /** eˣ − 1, exact to rounding also near 0, where `exp().sub(1)` loses digits. */
  expm1(): Tensor {
    return this.only(ops.expm1, undefined);
  }

  /** The natural logarithm ln x; −∞ at 0, NaN for x < 0. */
  log(): Tensor {
    return this.only(ops.log, undefined);
  }

  /** ln(1 + x), exact to rounding also near 0; −∞ at −1, NaN below. */
  log1p(): Tensor {
    return this.only(ops.log1p, undefined);
  }

  /** sin x, x in radians. */
  sin(): Tensor {
    return this.only(ops.sin, undefined);
  }

  /** cos x, x in radians. */
  cos(): Tensor {
    return this.only(ops.cos, undefined);
  }

  /** tanh x = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ). */
  tanh(): Tensor {
    return this.only(ops.tanh, undefined);
  }

  /** The error function 2/√π ∫₀ˣ e^(−u²) du. */
  erf(): Tensor {
    return this.only(ops.erf, undefined);
  }

  /** ln Φ(x), with Φ the distribution function of the standard normal. It stays finite where Φ(x) itself rounds to 0. */
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
   * x · Φ(x), with Φ the distribution function of the standard normal (Hendrycks & Gimpel 2016, arXiv:1606.08415).
   * @param options `approximate`: "none" (the default) is exact. "tanh" is x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), which
   * GPT-2 uses; it differs by less than 5e-4
   * @throws Error for another word
   */
  gelu(options: { readonly approximate?: "none" | "tanh" } = {}): Tensor {
    const { approximate = "none" } = optionsOf("gelu", options, '{ approximate: "tanh" }');
    if (approximate !== "none" && approximate !== "tanh") {
      throw wrongArgument("gelu", "approximate", approximate, '"none" or "tanh"');
    }
    return this.only(approximate === "tanh" ? ops.geluTanh : ops.gelu, undefined);
  }

  /** max(x, 0). The gradient at 0 is 0. */
  relu(): Tensor {
    return this.only(ops.relu, undefined);
  }

  /** ln(1 + eˣ). */
  softplus(): Tensor {
    return this.only(ops.softplus, undefined);
  }
}
