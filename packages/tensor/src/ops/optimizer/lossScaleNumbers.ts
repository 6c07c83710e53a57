// The attributes of dynamic loss scaling, the limits of the scale, and the numbers that the kernels take.

/** The attributes of `lossScaleStep`. */
export interface LossScaleAttrs {
  /** Finite updates after which the scale doubles. */
  readonly interval: number;
  /** The longest gradient of the loss itself; 0 for no limit. */
  readonly clipNorm: number;
  /** β₁ of the optimizer, in [0, 1). */
  readonly beta1: number;
  /** β₂ of the optimizer, in [0, 1). */
  readonly beta2: number;
}

/** The scale stays within these. */
export const [LEAST, MOST] = [2 ** -24, 2 ** 24];

/** The kernels' parameters. */
export function numbersOf({ interval, clipNorm, beta1, beta2 }: LossScaleAttrs) {
  const rests = { rest1: 1 - beta1, rest2: 1 - beta2 };
  return { clip: clipNorm, beta1, beta2, ...rests, interval, least: LEAST, most: MOST };
}
