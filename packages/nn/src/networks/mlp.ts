// The multilayer perceptron: affine maps with an activation between them, which may know the time and the class of each sample.

import { concat, type Tensor, tidy, wrongArgument } from "@pkg/tensor";
import { classesOf, type Embedding, embedding } from "../layers/embedding.ts";
import { type Linear, linear } from "../layers/linear.ts";
import { checkSinusoid, type SinusoidOptions, sinusoidalEmbedding } from "../layers/sinusoid.ts";
import { expectConfig, expectInit, type InitOptions } from "../module/init.ts";
import { edge } from "../module/parameters.ts";
import { type Conditioning, checkNumberConfig, embeddedNumbers, type NumberConfig } from "./conditioning.ts";
import { checkLabels, checkTimes, type Times } from "./times.ts";

/** Plain data, as checkpoints store it. */
export interface MlpConfig {
  /** The width of the input, of every hidden layer and of the output: [2, 128, 128, 2]. */
  readonly sizes: readonly number[];
  /** The function after every map but the last. All are smooth, which score matching needs. Default "silu". */
  readonly activation?: "silu" | "softplus" | "tanh";
  /**
   * The channels of the time's sinusoidal embedding, an even number; they are appended to the input. Default: the network knows
   * no time.
   */
  readonly timeChannels?: number;
  /** How times are embedded: period, order, shift and scale. */
  readonly timeEmbedding?: SinusoidOptions;
  /** More numbers per sample, which every call has to give (`conditioning.numbers`), embedded in `timeChannels` channels each. */
  readonly numbers?: NumberConfig;
  /**
   * Classes to condition on. A learned vector per class is appended to the input; one more stands for "no class". Default:
   * none.
   */
  readonly classes?: number;
  /** The length of a class's vector. Default 16. */
  readonly classChannels?: number;
}

/** A multilayer perceptron; its fields are its state. */
export interface Mlp {
  /** The vectors of the classes, the last for "no class". */
  readonly classes?: Embedding;
  /** The affine maps, first to last. */
  readonly layers: readonly Linear[];
  /**
   * Applies the network.
   * @param x [batch, sizes[0]]
   * @param times one per sample, on the scale of 0 … 1000 (of noise levels something like 100 · ln σ) unless `timeEmbedding`
   * has another; a network without `timeChannels` does not see them
   * @returns [batch, last of sizes]
   * @throws Error for a wrong shape of x; for times, labels or numbers of another number, and tensors of them of another shape,
   * type or backend; for labels without classes; and for numbers that are missing or not configured
   */
  forward(x: Tensor, times?: Times, conditioning?: Conditioning): Tensor;
}

/** A multilayer perceptron with drawn weights. @throws Error naming the field when the configuration is impossible */
export function mlp(config: MlpConfig, init: InitOptions): Mlp {
  expectConfig("mlp", config);
  expectInit("mlp", init);
  checkConfig(config);
  const {
    sizes,
    activation = "silu",
    timeChannels = 0,
    timeEmbedding,
    numbers = {},
    classes,
    classChannels = 16,
  } = config;
  const embedded = timeChannels * (1 + Object.keys(numbers).length);
  const inputs = sizes[0] + embedded + (classes === undefined ? 0 : classChannels);
  const model: Mlp = {
    ...(classes !== undefined && { classes: embedding(classes + 1, classChannels, init) }),
    layers: sizes.slice(1).map((to, k) => {
      const layer = linear(k === 0 ? inputs : sizes[k], to, init);
      return k === 0 || k === sizes.length - 2 ? edge(layer) : layer;
    }),
    forward: (x, times, conditioning = {}) =>
      tidy(() => {
        const { labels, steps } = conditioning;
        checkCall(config, x, times, labels);
        const { backend } = x;
        const beside = [
          ...(timeChannels > 0 && times
            ? [sinusoidalEmbedding(times, timeChannels, { ...timeEmbedding, backend, steps })]
            : []),
          ...Object.values(embeddedNumbers("mlp", numbers, conditioning, x, timeChannels)),
          ...(model.classes && classes !== undefined
            ? [model.classes.forward(classesOf("mlp", labels, classes, x.shape[0]))]
            : []),
        ];
        const [first, ...rest] = model.layers;
        const hidden = first.forward(beside.length > 0 ? concat([x, ...beside], 1) : x);
        return rest.reduce((input, layer) => layer.forward(input[activation]()), hidden);
      }),
  };
  return model;
}

function checkCall(
  { sizes, timeChannels = 0, classes }: MlpConfig,
  x: Tensor,
  times: Times | undefined,
  labels: Conditioning["labels"],
): void {
  const { shape } = x;
  if (shape.length !== 2 || shape[1] !== sizes[0])
    throw new Error(`mlp: x has shape [${shape.join(", ")}], want [batch, ${sizes[0]}]`);
  if (timeChannels > 0) {
    if (times === undefined) throw new Error(`mlp: no times for a batch of ${shape[0]}, want one per sample`);
    checkTimes("mlp", times, x);
  }
  if (!labels) return;
  if (classes === undefined) throw new Error("mlp: labels given to a model without classes, want none");
  checkLabels("mlp", labels, x);
}

function checkConfig({
  sizes,
  activation = "silu",
  timeChannels = 0,
  timeEmbedding = {},
  numbers = {},
  classes = 1,
  classChannels = 1,
}: MlpConfig): void {
  const isCount = (n: number) => Number.isInteger(n) && n > 0;
  if (!Array.isArray(sizes)) throw wrongArgument("mlp", "sizes", sizes, "a list of two or more positive integers");
  if (sizes.length < 2 || !sizes.every(isCount))
    throw new Error(`mlp: sizes is [${sizes.join(", ")}], want two or more positive integers`);
  if (!["silu", "softplus", "tanh"].includes(activation))
    throw new Error(`mlp: activation is ${activation}, want silu, softplus or tanh`);
  if (!(Number.isInteger(timeChannels) && timeChannels >= 0 && timeChannels % 2 === 0))
    throw new Error(`mlp: timeChannels is ${timeChannels}, want an even number (half are sines, half cosines)`);
  if (timeChannels > 0) checkSinusoid("mlp: timeEmbedding", timeEmbedding, timeChannels);
  else if (Object.keys(numbers).length > 0)
    throw new Error(
      `mlp: numbers ${Object.keys(numbers).join(", ")} without timeChannels, want channels to embed them in`,
    );
  checkNumberConfig("mlp", numbers, timeChannels);
  for (const [name, value] of Object.entries({ classes, classChannels }))
    if (!isCount(value)) throw new Error(`mlp: ${name} is ${value}, want a positive integer`);
}
