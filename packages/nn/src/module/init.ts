// Initial values of weights.

import { type Backend, optionsOf, type RandomStream, type Shape, Tensor, wrongArgument, zeros } from "@pkg/tensor";

/** What a layer needs to make its weights. */
export interface InitOptions {
  /** Default: the one of `setDefaultBackend`. */
  readonly backend?: Backend;
  /** The stream that draws the weights; null draws nothing and leaves zeros, for a network whose weights are loaded next. */
  readonly rng: RandomStream | null;
}

/**
 * Draws U(−√(1/fanIn), √(1/fanIn)): PyTorch's default for weights and biases of linear and convolution layers (He et al. 2015,
 * arXiv:1502.01852, with a = √5).
 * @param fanIn the number of inputs that each output sums
 * @param init a stream of null gives zeros
 * @throws Error for a fanIn that is not above 0
 */
export function fanInUniform(shape: Shape, fanIn: number, init: InitOptions): Tensor {
  expectInit("fanInUniform", init);
  if (!(fanIn > 0)) throw wrongArgument("fanInUniform", "fanIn", fanIn, "a number above 0");
  const { backend, rng } = init;
  if (rng === null) return zeroInit(shape, { backend });
  const bound = 1 / Math.sqrt(fanIn);
  return rng.uniform(shape, { backend, low: -bound, high: bound });
}

/** Zeros that take the memory of all elements, for parameters. */
export function zeroInit(shape: Shape, options: Pick<InitOptions, "backend"> = {}): Tensor {
  const { backend } = optionsOf("zeroInit", options, "{ backend }");
  return zeros(shape, { backend }).contiguous();
}

/** Refuses options of a layer without a random stream. @throws Error naming the layer */
export function expectInit(name: string, init: unknown): asserts init is InitOptions {
  const rng = (init as Partial<InitOptions> | null | undefined)?.rng;
  if (rng === null || typeof rng?.uniform === "function") return;
  throw wrongArgument(name, "the rng of its options", rng, "a random stream: { rng: randomStream(0) }");
}

/** Refuses what is not a positive integer. @throws Error naming function and argument */
export function expectCount(name: string, argument: string, value: unknown): void {
  if (!(Number.isInteger(value) && Number(value) > 0)) throw wrongArgument(name, argument, value, "a positive integer");
}

/** Refuses what a layer of so many channels does not take. @throws Error naming the layer */
export function expectChannels(name: string, x: unknown, channels: number): void {
  if (x instanceof Tensor && x.rank > 0 && x.shape[x.rank - 1] === channels) return;
  throw wrongArgument(name, "x", x, `[..., ${channels}]`);
}

/** Refuses what is not the configuration of a network. @throws Error naming the network */
export function expectConfig(name: string, config: unknown): void {
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw wrongArgument(name, "config", config, "an object of sizes");
  }
}

/** Refuses what is not a positive finite number. @throws Error naming function and argument */
export function expectPositive(name: string, argument: string, value: unknown): void {
  if (!(typeof value === "number" && value > 0 && Number.isFinite(value)))
    throw wrongArgument(name, argument, value, "a positive number");
}
