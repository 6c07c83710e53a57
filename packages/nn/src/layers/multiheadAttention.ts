// Multi-head attention of tokens to each other, or to those of a context, with masks.

import { optionsOf, Tensor, tensor, wrongArgument } from "@pkg/tensor";
import { expectCount, expectInit, type InitOptions } from "../module/init.ts";
import { kept } from "../module/kept.ts";
import { type Linear, linear } from "./linear.ts";
import { type RmsNorm, rmsNorm } from "./rmsNorm.ts";
import { type RotaryOptions, rotary } from "./rotary.ts";

/** What a call of multi-head attention may carry besides x. Masks of several kinds hide what any of them hides. */
export interface AttentionCall {
  /** What is attended to, [batch, keys, contextChannels]. Default: x itself. */
  readonly context?: Tensor;
  /**
   * Broadcasts to [batch, heads, queries, keys]. A bool mask is true where a query sees a key; a float32 mask is added to the
   * scores, and has a gradient.
   */
  readonly mask?: Tensor;
  /** Bool [batch, keys]: true for keys that are seen, false for padding. */
  readonly keyMask?: Tensor;
  /** Whether query i sees the keys 0 … i alone. Default false. */
  readonly causal?: boolean;
  /** Rotary positions of queries and keys. Default: none. */
  readonly rotary?: RotaryOptions;
  /** Whether query i sees key i alone, whatever the masks, so that the layer gives W_o v. Default false. */
  readonly identity?: boolean;
}

/** W_o · [softmax(q kᵀ / √depth + mask) v of each head], q = W_q x, k = W_k c, v = W_v c (Vaswani et al. 2017, section 3.2). */
export interface MultiheadAttention {
  /** [channels, channels], the heads one after another. */
  readonly q: Linear;
  /** [contextChannels, channels]. */
  readonly k: Linear;
  /** [contextChannels, channels]. */
  readonly v: Linear;
  /** Of each head's queries; with `qkNorm`. */
  readonly qNorm?: RmsNorm;
  /** Of each head's keys; with `qkNorm`. */
  readonly kNorm?: RmsNorm;
  /** [channels, channels]. */
  readonly out: Linear;
  /**
   * Applies the layer. A query that bool masks show no key gets the mean of all values; with a float32 mask among them, NaN.
   * @param x [batch, queries, channels]
   * @returns [batch, queries, channels]
   * @throws Error naming what of the call does not fit
   */
  forward(x: Tensor, call?: AttentionCall): Tensor;
}

/**
 * A multi-head attention.
 * @param options `heads` is 1 by default; `contextChannels` as x has by default; `bias: false` leaves out the biases of all four maps;
 * `qkNorm: true` normalises each head's queries and keys by their root mean square (Esser et al. 2024; by layer norms in Dehghani et al.
 * 2023)
 * @throws Error when `heads` does not divide `channels`
 * @example
 * ```ts
 * import { multiheadAttention } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const rng = randomStream(0);
 * const backend = cpu();
 * const attention = multiheadAttention(32, { heads: 4, rng, backend });
 * const tokens = rng.normal([2, 6, 32], { backend }); // two texts of six tokens
 * const y = attention.forward(tokens, { causal: true, rotary: {} });
 * console.log(y.shape); // [2, 6, 32]
 * ```
 */
export function multiheadAttention(
  channels: number,
  options: InitOptions & {
    readonly heads?: number;
    readonly contextChannels?: number;
    readonly bias?: boolean;
    readonly qkNorm?: boolean;
  },
): MultiheadAttention {
  expectCount("multiheadAttention", "channels", channels);
  expectInit("multiheadAttention", options);
  const { heads = 1, contextChannels = channels, bias = true, qkNorm = false, ...init } = options;
  expectCount("multiheadAttention", "heads", heads);
  expectCount("multiheadAttention", "contextChannels", contextChannels);
  if (channels % heads !== 0)
    throw new Error(`multiheadAttention: ${heads} heads of ${channels} channels, want a divisor`);
  const depth = channels / heads;
  const norm = () => rmsNorm(depth, { epsilon: 1e-6, backend: init.backend });
  const perHead = (x: Tensor) => x.reshape([x.shape[0], x.shape[1], heads, depth]).permute([0, 2, 1, 3]); // [batch, heads, tokens, depth]
  const layer: MultiheadAttention = {
    q: linear(channels, channels, { ...init, bias }),
    k: linear(contextChannels, channels, { ...init, bias }),
    v: linear(contextChannels, channels, { ...init, bias }),
    ...(qkNorm && { qNorm: norm(), kNorm: norm() }),
    out: linear(channels, channels, { ...init, bias }),
    forward(x, call = {}) {
      const { context = x, rotary: places } = optionsOf("multiheadAttention", call, "{ causal: true }");
      checkTokens("x", x, x, channels);
      checkTokens("context", context, x, contextChannels);
      const turned = (y: Tensor) => (places ? rotary(y, places) : y);
      if (call?.identity) {
        if (context.shape[1] !== x.shape[1])
          throw wrongArgument(
            "multiheadAttention",
            "context",
            context,
            `${x.shape[1]} keys, as queries, with identity`,
          );
        return layer.out.forward(layer.v.forward(context));
      }
      const q = perHead(layer.q.forward(x));
      const k = perHead(layer.k.forward(context));
      const v = perHead(layer.v.forward(context));
      const mask = maskOf(call ?? {}, [x.shape[0], heads, x.shape[1], context.shape[1]], x);
      const mixed = turned(layer.qNorm?.forward(q) ?? q).attention(turned(layer.kNorm?.forward(k) ?? k), v, { mask });
      return layer.out.forward(mixed.permute([0, 2, 1, 3]).reshape(x.shape));
    },
  };
  return layer;
}

function checkTokens(what: string, tokens: unknown, x: unknown, channels: number): void {
  const isTokens = tokens instanceof Tensor && tokens.rank === 3 && tokens.shape[2] === channels;
  if (!isTokens || !(x instanceof Tensor))
    throw wrongArgument("multiheadAttention", what, tokens, `[batch, tokens, ${channels}]`);
  if (tokens === x) return;
  const [batch] = x.shape;
  if (tokens.shape[0] !== batch && tokens.shape[0] !== 1)
    throw wrongArgument("multiheadAttention", what, tokens, `[${batch} or 1, tokens, ${channels}]`);
  checkBackend(what, tokens, x);
}

function checkBackend(what: string, tensor: Tensor, { backend }: Tensor): void {
  if (tensor.backend !== backend)
    throw wrongArgument("multiheadAttention", what, tensor, `a tensor on x's backend, ${backend.name}`);
}

/** All masks of a call as one; undefined where there are none. @param shape [batch, heads, queries, keys] */
function maskOf(
  { mask, keyMask, causal = false }: AttentionCall,
  shape: readonly number[],
  x: Tensor,
): Tensor | undefined {
  const [batch, , queries, keys] = shape;
  if (mask !== undefined) checkMask("mask", mask, ["bool", "float32"], shape, x);
  if (keyMask !== undefined) {
    checkMask("keyMask", keyMask, ["bool"], [batch, keys], x);
    if (keyMask.rank !== 2) throw wrongArgument("multiheadAttention", "keyMask", keyMask, `bool [${batch}, ${keys}]`);
  }
  const seen = [
    ...(causal ? [causalMask(x, queries, keys)] : []),
    ...(keyMask ? [keyMask.reshape([keyMask.shape[0], 1, 1, keyMask.shape[1]])] : []),
    ...(mask?.dtype === "bool" ? [mask] : []),
  ];
  const all = seen.length > 0 ? seen.reduce((one, other) => one.logicalAnd(other)) : undefined;
  if (mask === undefined || mask.dtype === "bool") return all;
  return all ? all.where(mask, Number.NEGATIVE_INFINITY) : mask;
}

function checkMask(what: string, mask: unknown, types: readonly string[], shape: readonly number[], x: Tensor): void {
  const fits =
    mask instanceof Tensor &&
    types.includes(mask.dtype) &&
    mask.rank <= shape.length &&
    mask.shape.every((n, k) => n === 1 || n === shape[shape.length - mask.rank + k]);
  if (!fits)
    throw wrongArgument(
      "multiheadAttention",
      what,
      mask,
      `${types.join(" or ")} that broadcasts to [${shape.join(", ")}]`,
    );
  checkBackend(what, mask, x);
}

/** True where the key's place is not behind the query's, [queries, keys]. */
function causalMask({ backend }: Tensor, queries: number, keys: number): Tensor {
  return kept(backend, `causal ${queries} ${keys}`, () =>
    tensor(
      Uint32Array.from({ length: queries * keys }, (_, i) => Number(i % keys <= Math.floor(i / keys))),
      { backend, shape: [queries, keys], dtype: "bool" },
    ),
  );
}
