// The decoder p(x₀ | x_1) of the bound's last term: for images on a grid of levels, or for continuous data.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Clip } from "../forward/path.ts";
import { expectWord } from "../optionWords.ts";
import { readData } from "../readData.ts";
import type { Normal } from "./klDivergence.ts";

/** How likely data is, given the last reverse step's mean and variance. */
export interface Decoder {
  /** Where its data can be, which `nll` clips x̂₀ to if it is told nothing else: `true` for [−1, 1]. Default false. */
  readonly clip?: Clip;
  /** log p(x | mean, variance) of each element, in nats. */
  logLikelihood(x: Tensor, normal: Normal): Tensor;
  /** Refuses data that the decoder has no likelihood for. @throws Error with name and value */
  check(x: Tensor): Promise<void>;
}

/** The grid of a discretised decoder, and its distribution function. */
export interface DiscretisedOptions {
  /** Levels of the grid: −1, …, 1 in equal steps. Default 256. */
  readonly levels?: number;
  /**
   * The normal distribution function. Default "exact"; "tanh" is ½ (1 + tanh(√(2/π) (x + 0.044715 x³))), as Ho et al.'s code and its
   * descendants have it: −14.34 instead of −13.12 nats at five standard deviations.
   */
  readonly cdf?: "exact" | "tanh";
  /** The least probability, beyond which there is no gradient. Default 1e-12, as in that code; 0 for none, with "exact" alone. */
  readonly floor?: number;
}

/**
 * The probability of each pixel's bin, Φ((x + h − μ) / σ) − Φ((x − h − μ) / σ) with h half of a grid step, open to infinity at
 * x = ±1 (Ho et al. 2020, eq. 13). "exact" has the logarithm of it right to 1e-5 in float32 while σ ≤ 1, in both tails.
 * @throws Error for levels below 2, or a floor outside of [0, 1)
 */
export function discretisedDecoder(options: DiscretisedOptions = {}): Decoder {
  expectArguments("discretisedDecoder", { options });
  const { levels = 256, cdf = "exact", floor = 1e-12 } = options;
  if (!(Number.isInteger(levels) && levels >= 2)) {
    throw new Error(`discretisedDecoder: levels is ${levels}, want an integer from 2 on`);
  }
  if (!(floor >= (cdf === "tanh" ? Number.MIN_VALUE : 0) && floor < 1)) {
    throw new Error(`discretisedDecoder: floor is ${floor}, want a number in [0, 1), above 0 for tanh`);
  }
  const half = 1 / (levels - 1);
  const edge = 1 - half / 4;
  const inBin = cdf === "exact" ? exactBin : tanhBin(floor);
  expectWord("discretisedDecoder", "cdf", cdf, ["exact", "tanh"]);
  return {
    clip: true,
    logLikelihood(x, { mean, logVariance }) {
      const scale = logVariance.mul(-0.5).exp();
      const center = x.sub(mean).mul(scale);
      const { lowest, within, highest } = inBin(center, scale.mul(half));
      const log = x.less(-edge).where(lowest, x.greater(edge).where(highest, within));
      return floor > 0 ? log.maximum(Math.log(floor)) : log;
    },
    async check(x) {
      const [farthest, distance] = await readData("discretisedDecoder", x, () => {
        const place = x.affine((levels - 1) / 2, (levels - 1) / 2);
        return [x.abs().max(), place.sub(place.round()).abs().max()];
      });
      if (!(farthest <= 1)) throw new Error(`discretisedDecoder: data reaches ${farthest}, want it in [−1, 1]`);
      // float32 places a level within 2⁻²⁴ · levels of itself.
      if (!(distance <= levels * 2 ** -22)) {
        throw new Error(
          `discretisedDecoder: data lies ${distance} of a step beside the ${levels} levels, want it on them (gaussianDecoder takes any)`,
        );
      }
    },
  };
}

/** The density N(x; μ, σ²) itself, for continuous data: −½ ((x − μ)² / σ² + log σ² + log 2π). It may exceed 1. */
export function gaussianDecoder(): Decoder {
  return {
    logLikelihood: (x, { mean, logVariance }) =>
      x
        .sub(mean)
        .square()
        .mul(logVariance.neg().exp())
        .add(logVariance)
        .add(Math.log(2 * Math.PI))
        .mul(-0.5),
    check: async (x) => void (await readData("gaussianDecoder", x)),
  };
}

/** Logarithms of the probabilities of the lowest bin, of one between, and of the highest. */
interface Bin {
  readonly lowest: Tensor;
  readonly within: Tensor;
  readonly highest: Tensor;
}

function exactBin(center: Tensor, half: Tensor): Bin {
  // The bin is as likely as its mirror image; of the two, the one below 0 loses no digits.
  const below = center.greater(0).where(center.neg(), center);
  const upper = below.add(half).logNdtr();
  const share = below.sub(half).logNdtr().sub(upper).expm1().neg();
  return {
    lowest: center.add(half).logNdtr(),
    within: upper.add(share.maximum(1e-30).log()),
    highest: half.sub(center).logNdtr(),
  };
}

function tanhBin(floor: number): (center: Tensor, half: Tensor) => Bin {
  const distribution = (x: Tensor) => {
    const near = x.clamp(-20, 20); // farther out tanh is 1 to any precision, while x² may be infinite
    const cubic = near.add(near.mul(near.square()).mul(0.044715));
    return cubic
      .mul(Math.sqrt(2 / Math.PI))
      .tanh()
      .affine(0.5, 0.5);
  };
  return (center, half) => {
    const [upper, lower] = [distribution(center.add(half)), distribution(center.sub(half))];
    const log = (probability: Tensor) => probability.maximum(floor).log();
    return { lowest: log(upper), within: log(upper.sub(lower)), highest: log(lower.affine(-1, 1)) };
  };
}
