// The multilayer perceptron: affine maps with an activation between them, which may know the time and the class of each sample.

import { concat, type Tensor, tidy, wrongArgument } from "@pkg/tensor";
import { classOf, type Embedding, embedding, sinusoidalEmbedding } from "./embedding.ts";
import { expectConfig, expectInit, type InitOptions } from "./init.ts";
import { type Linear, linear } from "./linear.ts";
import type { Conditioning } from "./unet.ts";

/** Plain data, as checkpoints store it. */
export interface MlpConfig {
  /** The width of the input, of every hidden layer and of the output: [2, 128, 128, 2]. */
  readonly sizes: readonly number[];
  /** What follows every map but the last. All are smooth, as score matching wants them. Default "silu". */
  readonly activation?: "silu" | "softplus" | "tanh";
  /** The channels of the time's sinusoidal embedding, which is put beside the input; even. Default: the network knows no time. */
  readonly timeChannels?: number;
  /** Classes to condition on, each with a learned vector put beside the input; one more stands for "no class". Default: none. */
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
   * @param times one a sample, on the scale of 0 … 1000 (of noise levels something like 100 · ln σ); a network without `timeChannels`
   * does not see them
   * @returns [batch, last of sizes]
   * @throws Error for a wrong shape or number of times or labels, and for labels without classes
   */
  forward(x: Tensor, times?: readonly number[], conditioning?: Pick<Conditioning, "labels">): Tensor;
}

/** A multilayer perceptron with drawn weights. @throws Error naming the field when the configuration is impossible */
export function mlp(config: MlpConfig, init: InitOptions): Mlp {
  expectConfig("mlp", config);
  expectInit("mlp", init);
  checkConfig(config);
  const { sizes, activation = "silu", timeChannels = 0, classes, classChannels = 16 } = config;
  const inputs = sizes[0] + timeChannels + (classes === undefined ? 0 : classChannels);
  const model: Mlp = {
    ...(classes !== undefined && { classes: embedding(classes + 1, classChannels, init) }),
    layers: sizes.slice(1).map((to, k) => linear(k === 0 ? inputs : sizes[k], to, init)),
    forward: (x, times, { labels } = {}) =>
      tidy(() => {
        checkCall(config, x, times, labels);
        const beside = [
          ...(timeChannels > 0 && times ? [sinusoidalEmbedding(times, timeChannels, { backend: x.backend })] : []),
          ...(model.classes && classes !== undefined
            ? [
                model.classes.forward(() =>
                  Array.from({ length: x.shape[0] }, (_, k) => classOf("mlp", labels ? labels[k] : null, classes)),
                ),
              ]
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
  { shape }: Tensor,
  times: readonly number[] | undefined,
  labels: Conditioning["labels"],
): void {
  const [batch] = shape;
  if (shape.length !== 2 || shape[1] !== sizes[0])
    throw new Error(`mlp: x has shape [${shape.join(", ")}], want [batch, ${sizes[0]}]`);
  if (timeChannels > 0 && times?.length !== batch)
    throw new Error(`mlp: ${times?.length ?? "no"} times for a batch of ${batch}, want one a sample`);
  if (!labels) return;
  if (classes === undefined) throw new Error("mlp: labels given to a model without classes, want none");
  if (labels.length !== batch)
    throw new Error(`mlp: ${labels.length} labels for a batch of ${batch}, want one a sample`);
}

function checkConfig({
  sizes,
  activation = "silu",
  timeChannels = 0,
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
  for (const [name, value] of Object.entries({ classes, classChannels }))
    if (!isCount(value)) throw new Error(`mlp: ${name} is ${value}, want a positive integer`);
}
