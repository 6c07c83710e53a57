// What a transformer does to each token by itself: two affine maps with an activation between them, or the gated form of it.

import type { Tensor } from "@pkg/tensor";
import { expectCount, expectInit, type InitOptions } from "../module/init.ts";
import { type Linear, linear } from "./linear.ts";

/** y = W₂ f(W₁ x + b₁) + b₂ along the last axis. */
export interface FeedForward {
  /** [channels, hidden]; the activation follows. */
  readonly first: Linear;
  /** [hidden, channels]. */
  readonly second: Linear;
  /** [..., channels] → the same */
  forward(x: Tensor): Tensor;
}

/** The activations of `feedForward`: GELU, exact or by a tanh, SiLU, ReLU. */
export type Activation = "gelu" | "geluTanh" | "silu" | "relu";

const ACTIVATIONS: Readonly<Record<Activation, (x: Tensor) => Tensor>> = {
  gelu: (x) => x.gelu(),
  geluTanh: (x) => x.gelu({ approximate: "tanh" }),
  silu: (x) => x.silu(),
  relu: (x) => x.relu(),
};

/**
 * The feed-forward part of a transformer (Vaswani et al. 2017, section 3.3).
 * @param options `hidden` is 4 · channels by default; `activation` "gelu"
 * @throws Error for counts that are not positive integers, and for another activation
 */
export function feedForward(
  channels: number,
  options: InitOptions & { readonly hidden?: number; readonly activation?: Activation },
): FeedForward {
  expectCount("feedForward", "channels", channels);
  expectInit("feedForward", options);
  const { hidden = 4 * channels, activation = "gelu", ...init } = options;
  expectCount("feedForward", "hidden", hidden);
  if (!Object.hasOwn(ACTIVATIONS, activation))
    throw new Error(`feedForward: activation is ${activation}, want ${Object.keys(ACTIVATIONS).join(", ")}`);
  const layer: FeedForward = {
    first: linear(channels, hidden, init),
    second: linear(hidden, channels, init),
    forward: (x) => layer.second.forward(ACTIVATIONS[activation](layer.first.forward(x))),
  };
  return layer;
}

/** y = W_down (silu(W_gate x) ∘ W_up x) along the last axis (Shazeer 2020, arXiv:2002.05202). */
export interface SwiGlu {
  /** [channels, hidden]; silu follows. */
  readonly gate: Linear;
  /** [channels, hidden]. */
  readonly up: Linear;
  /** [hidden, channels]. */
  readonly down: Linear;
  /** [..., channels] → the same */
  forward(x: Tensor): Tensor;
}

/**
 * The gated feed-forward part of newer transformers.
 * @param options `hidden` is 8/3 · channels by default, rounded up to a multiple of 8: as many weights as `feedForward` has. `bias` is
 * false by default, as in the paper
 * @throws Error for counts that are not positive integers
 */
export function swiGlu(
  channels: number,
  options: InitOptions & { readonly hidden?: number; readonly bias?: boolean },
): SwiGlu {
  expectCount("swiGlu", "channels", channels);
  expectInit("swiGlu", options);
  const { hidden = 8 * Math.ceil(channels / 3), bias = false, ...init } = options;
  expectCount("swiGlu", "hidden", hidden);
  const layer: SwiGlu = {
    gate: linear(channels, hidden, { ...init, bias }),
    up: linear(channels, hidden, { ...init, bias }),
    down: linear(hidden, channels, { ...init, bias }),
    forward: (x) => layer.down.forward(layer.gate.forward(x).silu().mul(layer.up.forward(x))),
  };
  return layer;
}
