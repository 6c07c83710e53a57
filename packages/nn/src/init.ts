// Initial values of weights.

import { type Backend, optionsOf, type RandomStream, type Shape, type Tensor, wrongArgument, zeros } from "@pkg/tensor";

/** What a layer needs to make its weights. */
export interface InitOptions {
  /** Default: the one of `setDefaultBackend`. */
  readonly backend?: Backend;
  /** Where the weights are drawn from. */
  readonly rng: RandomStream;
}

/**
 * U(−√(1/fanIn), √(1/fanIn)), PyTorch's default for linear and convolution weights and their biases
 * (He et al. 2015 with a = √5).
 */
export function fanInUniform(shape: Shape, fanIn: number, init: InitOptions): Tensor {
  expectInit("fanInUniform", init);
  if (!(fanIn > 0)) throw wrongArgument("fanInUniform", "fanIn", fanIn, "a number above 0");
  const { backend, rng } = init;
  const bound = 1 / Math.sqrt(fanIn);
  return rng.uniform(shape, { backend, low: -bound, high: bound });
}

/** Zeros with elements of their own. */
export function zeroInit(shape: Shape, options: Pick<InitOptions, "backend"> = {}): Tensor {
  const { backend } = optionsOf("zeroInit", options, "{ backend }");
  return zeros(shape, { backend }).contiguous();
}

/** @throws Error when the options of a layer, which hold the stream of its weights, are none */
export function expectInit(name: string, init: unknown): asserts init is InitOptions {
  const rng = (init as Partial<InitOptions> | null | undefined)?.rng;
  if (typeof rng?.uniform !== "function") {
    throw wrongArgument(name, "the rng of its options", rng, "a random stream: { rng: randomStream(0) }");
  }
}

/** @throws Error naming the function when a number of channels or classes is none */
export function expectCount(name: string, argument: string, value: unknown): void {
  if (!(Number.isInteger(value) && Number(value) > 0)) throw wrongArgument(name, argument, value, "a positive integer");
}

/** @throws Error when a network's configuration is no object */
export function expectConfig(name: string, config: unknown): void {
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw wrongArgument(name, "config", config, "an object of sizes");
  }
}
