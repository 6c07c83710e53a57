// Rotary positions: queries and keys turned by angles that grow with their place, so that products see differences of places alone.

import { type Backend, optionsOf, ShapeError, Tensor, tensor, wrongArgument } from "@pkg/tensor";
import { expectPositive } from "../module/init.ts";
import { kept } from "../module/kept.ts";

/** Where tokens stand, and how their vectors are turned. */
export interface RotaryOptions {
  /** θ, from which the frequencies fall: θ^(−k / n). Default 10,000. */
  readonly base?: number;
  /**
   * Which channels are turned together. "halves" (the default): k and k + n, as in Llama's code at Hugging Face. "adjacent": 2k and
   * 2k + 1, as in the paper.
   */
  readonly pairs?: "halves" | "adjacent";
  /** The place of each token, one number each. Default: 0, 1, 2, … */
  readonly positions?: readonly number[];
  /**
   * Rows and columns of an image whose tokens come row by row: the first half of the channels is turned by the row, the second by
   * the column (axial positions), each from 0. It excludes `positions`.
   */
  readonly grid?: readonly [rows: number, columns: number];
}

/**
 * RoPE: each pair (a, b) of channels becomes (a cos φ − b sin φ, b cos φ + a sin φ) with φ = p θ^(−k / n), p the token's place, k the
 * pair and n the number of pairs (Su et al. 2021, arXiv:2104.09864, eq. 34). On a grid each axis has half of the channels.
 *
 * Attention sees differences of places alone. Where all tokens are alike, as masks are when masked diffusion begins to draw, attention
 * without a causal mask gives each place the same: add an `embedding` of the place to the tokens, if places matter.
 * @param x [..., tokens, depth], depth even; on a grid a multiple of 4
 * @returns the same shape
 * @throws ShapeError when x does not fit; Error naming the option that is wrong
 */
export function rotary(x: Tensor, options: RotaryOptions = {}): Tensor {
  if (!(x instanceof Tensor)) throw wrongArgument("rotary", "x", x, "a tensor");
  const { base = 10_000, pairs = "halves", positions, grid } = optionsOf("rotary", options, "{ base: 10_000 }");
  expectPositive("rotary", "base", base);
  if (pairs !== "halves" && pairs !== "adjacent")
    throw new Error(`rotary: pairs is "${pairs}", want halves or adjacent`);
  if (positions && grid) throw new Error(`rotary: positions and grid, want one of them`);
  const [tokens, depth] = x.shape.slice(-2);
  const axes = grid ? 2 : 1;
  if (x.rank < 2 || tokens === 0 || depth === 0 || depth % (2 * axes) !== 0)
    throw new ShapeError(
      `rotary: x of shape [${x.shape}], want [..., tokens, depth] with depth a multiple of ${2 * axes}, and neither of them 0`,
    );
  const places = placesOf(tokens, positions, grid);
  const n = depth / (2 * axes);
  const { cos, sin } = tablesOf(x.backend, places, n, base, pairs, positions === undefined && `${grid ?? tokens}`);
  // The other of each pair: the two stand in an axis of their own, which is reversed.
  const apart = [...x.shape.slice(0, -1), axes, ...(pairs === "halves" ? [2, n] : [n, 2])];
  const other = x
    .reshape(apart)
    .flip(pairs === "halves" ? -2 : -1)
    .reshape(x.shape);
  return x.mul(cos).add(other.mul(sin));
}

/** The places of all tokens along each axis. */
function placesOf(
  tokens: number,
  positions: readonly number[] | undefined,
  grid: readonly [number, number] | undefined,
): readonly (readonly number[])[] {
  if (grid) {
    if (!Array.isArray(grid)) throw wrongArgument("rotary", "grid", grid, "[rows, columns]");
    const [rows, columns] = grid as readonly [number, number];
    if (!(Number.isInteger(rows) && Number.isInteger(columns) && rows > 0 && rows * columns === tokens))
      throw new ShapeError(`rotary: grid is [${grid}] for ${tokens} tokens, want rows and columns of as many`);
    return Array.from({ length: tokens }, (_, place) => [Math.floor(place / columns), place % columns]);
  }
  if (positions === undefined) return Array.from({ length: tokens }, (_, place) => [place]);
  if (!Array.isArray(positions) || positions.length !== tokens || !positions.every(Number.isFinite))
    throw wrongArgument("rotary", "positions", positions, `a list of ${tokens} finite numbers, one per token`);
  return positions.map((place) => [place]);
}

/** The cosines of each channel, and the sines with the sign that its partner has in it: [tokens, depth] each. */
function tablesOf(
  backend: Backend,
  places: readonly (readonly number[])[],
  n: number,
  base: number,
  pairs: "halves" | "adjacent",
  key: string | false,
): { readonly cos: Tensor; readonly sin: Tensor } {
  const depth = 2 * n * places[0].length;
  const table = (name: string, of: (angle: number, isSecond: boolean) => number): Tensor => {
    const make = () => {
      const values = new Float64Array(places.length * depth);
      for (const [token, place] of places.entries()) {
        for (let c = 0; c < depth; c++) {
          const inside = c % (2 * n);
          const [pair, isSecond] =
            pairs === "halves" ? [inside % n, inside >= n] : [Math.floor(inside / 2), inside % 2 === 1];
          values[token * depth + c] = of(place[Math.floor(c / (2 * n))] * base ** (-pair / n), isSecond);
        }
      }
      return tensor(values, { backend, shape: [places.length, depth] });
    };
    return key === false ? make() : kept(backend, `rotary ${name} ${key} ${n} ${base} ${pairs}`, make);
  };
  return { cos: table("cos", Math.cos), sin: table("sin", (angle, isSecond) => (isSecond ? 1 : -1) * Math.sin(angle)) };
}
