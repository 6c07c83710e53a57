// Patches, sine-cosine and rotary positions against their formulas.
import { patchify, rotary, sinCosPositions, unpatchify } from "@pkg/nn";
import { cpu } from "@pkg/tensor";
import { expect, test } from "vitest";
import { away, exact, expectSlopes, listed, random } from "./layers.ts";

test("a patch is a row of its pixels, row by row; patches come row by row, and go back", async () => {
  const [batch, height, width, channels, patch] = [2, 4, 6, 3, 2];
  const x = random([batch, height, width, channels], 1);
  const pixels = await listed<number[][][][]>(x);
  const wanted = pixels.map((image) =>
    [0, 1].flatMap((row) =>
      [0, 1, 2].map((column) =>
        [0, 1].flatMap((i) => [0, 1].flatMap((j) => image[row * patch + i][column * patch + j])),
      ),
    ),
  );
  const patches = patchify(x, patch);
  expect(patches.shape).toEqual([2, 6, 12]);
  expect(await away(patches, wanted)).toBe(0);
  expect(await away(unpatchify(patches, { height, width, patch }), pixels)).toBe(0);
});

test("patches that do not divide are refused, with sizes", () => {
  expect(() => patchify(random([1, 28, 30, 1], 1), 4)).toThrow(
    "patchify: patches of 4 in images of 28 × 30, want a divisor of height and width",
  );
  expect(() => patchify(random([1, 0, 4, 1], 1), 2)).toThrow("patchify: patches of 2 in images of 0 × 4");
  expect(() => patchify(random([28, 28], 1), 4)).toThrow(
    "patchify: images of shape [28,28], want [batch, height, width, channels]",
  );
  expect(() => unpatchify(random([1, 5, 4], 1), { height: 4, width: 4, patch: 2 })).toThrow(
    "unpatchify: patches of shape [1,5,4] for 4 × 4 in patches of 2, want [batch, 4, a multiple of 4]",
  );
});

test("positions are sines, then cosines, of the column, then of the row", async () => {
  const of = (at: number) => [Math.sin(at), Math.sin(at / 100), Math.cos(at), Math.cos(at / 100)];
  const wanted = [0, 1, 2].flatMap((row) => [0, 1].map((column) => [...of(column), ...of(row)]));
  expect(await away(sinCosPositions(3, 2, 8, { backend: exact }), wanted)).toBeLessThan(1e-12);
  expect(() => sinCosPositions(2, 2, 6)).toThrow("sinCosPositions: channels is 6, want a multiple of 4");
});

/** Turns the pairs (a, b) of channels of one token, each by an angle. */
function turned(row: readonly number[], pairs: readonly (readonly [a: number, b: number, angle: number])[]): number[] {
  const out = [...row];
  for (const [a, b, angle] of pairs) {
    out[a] = row[a] * Math.cos(angle) - row[b] * Math.sin(angle);
    out[b] = row[b] * Math.cos(angle) + row[a] * Math.sin(angle);
  }
  return out;
}

test.each(["halves", "adjacent"] as const)("rotary turns the pairs in %s by place and frequency", async (pairs) => {
  const x = random([2, 3, 4, 6], 1);
  const pair = (k: number) => (pairs === "halves" ? [k, k + 3] : [2 * k, 2 * k + 1]) as [number, number];
  const by = (place: number) => [0, 1, 2].map((k) => [...pair(k), place * 100 ** (-k / 3)] as const);
  const tokens = (await listed<number[][][][]>(x)).flat();
  const wanted = (places: readonly number[]) => tokens.map((head) => head.map((row, t) => turned(row, by(places[t]))));
  expect(await away(rotary(x, { base: 100, pairs }), wanted([0, 1, 2, 3]))).toBeLessThan(1e-12);
  const positions = [7, 0, 2.5, -1];
  expect(await away(rotary(x, { base: 100, pairs, positions }), wanted(positions))).toBeLessThan(1e-12);
  await expectSlopes((at) => rotary(at, { pairs }), [x]);
});

test.each(["halves", "adjacent"] as const)(
  "on a grid, pairs in %s, half of the channels turn by the row, half by the column",
  async (pairs) => {
    const [rows, columns] = [2, 3];
    const x = random([rows * columns, 8], 1);
    const pair = (k: number) => (pairs === "halves" ? [k, k + 2] : [2 * k, 2 * k + 1]);
    const wanted = (await listed(x)).map((row, place) => {
      const at = [Math.floor(place / columns), place % columns];
      const all = [0, 1].flatMap((axis) =>
        [0, 1].map((k) => {
          const [a, b] = pair(k).map((c) => 4 * axis + c);
          return [a, b, at[axis] * 10_000 ** (-k / 2)] as const;
        }),
      );
      return turned(row, all);
    });
    expect(await away(rotary(x, { grid: [rows, columns], pairs }), wanted)).toBeLessThan(1e-12);
  },
);

test("products of rotated vectors see the difference of places alone", async () => {
  const backend = cpu({ precision: "float64" });
  const [q, k] = [random([1, 16], 1, backend), random([1, 16], 2, backend)];
  const at = async (m: number, n: number) =>
    rotary(q, { positions: [m] })
      .matmul(rotary(k, { positions: [n] }).transpose())
      .item();
  expect(Math.abs((await at(3, 8)) - (await at(103, 108)))).toBeLessThan(1e-12);
  expect(Math.abs((await at(3, 8)) - (await at(3, 9)))).toBeGreaterThan(1e-3);
});

test("rotary refuses what does not fit", () => {
  const x = random([4, 6], 1);
  expect(() => rotary(random([4, 5], 1))).toThrow("want [..., tokens, depth] with depth a multiple of 2");
  expect(() => rotary(x, { grid: [2, 2] })).toThrow("depth a multiple of 4");
  expect(() => rotary(random([4, 8], 1), { grid: [2, 3] })).toThrow("rotary: grid is [2,3] for 4 tokens");
  expect(() => rotary(x, { positions: [0, 1] })).toThrow("rotary: positions is a list of 2, want a list of 4 finite");
  expect(() => rotary(random([4, 8], 1), { grid: 4 as unknown as [number, number] })).toThrow(
    "rotary: grid is 4, want [rows, columns]",
  );
  for (const shape of [
    [0, 4],
    [4, 0],
  ])
    expect(() => rotary(random([2, ...shape], 1))).toThrow("and neither of them 0");
  expect(() => rotary(x, { base: 0 })).toThrow("rotary: base is 0, want a positive number");
});
