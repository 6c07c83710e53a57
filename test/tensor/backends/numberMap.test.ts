// The map that the WebGPU backend looks its prepared calls and bind groups up in, against a Map of strings.
import { expect, test } from "vitest";
import { NumberMap } from "../../../packages/tensor/src/backends/webgpu/kernels/numberMap.ts";

function lookUp(map: NumberMap<string>, numbers: readonly number[]): string | undefined {
  map.begin();
  for (const number of numbers) map.add(number);
  return map.get();
}

/** The key of a sequence in a Map; −0 is not 0. */
const named = (numbers: readonly number[]) => numbers.map((n) => (Object.is(n, -0) ? "-0" : `${n}`)).join();

test("sequences that differ in a number, a sign of zero, an order or a length are different, and equal ones are the same", () => {
  const sequences = [
    [],
    [0],
    [-0],
    [Number.NaN],
    [Infinity],
    [0, 0],
    [1, 2],
    [2, 1],
    [1, 2, 0],
    [1.5],
    [2 ** 40],
    [2 ** 40 + 1],
    [1e-8],
    [-1],
    [2 ** 31],
    [-(2 ** 31)],
  ];
  const map = new NumberMap<string>(16);
  for (const sequence of sequences) {
    expect(lookUp(map, sequence)).toBeUndefined();
    map.set(named(sequence));
  }
  for (const sequence of sequences) expect(lookUp(map, [...sequence])).toBe(named(sequence));
});

test("finds what a Map of strings finds, sequences of a thousand numbers included", () => {
  const map = new NumberMap<string>(4096);
  const strings = new Map<string, string>();
  let state = 1;
  const below = (n: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  let hits = 0;
  for (let k = 0; k < 8000; k++) {
    const length = k % 1000 === 0 ? 1000 : below(6);
    const sequence = Array.from({ length }, () => below(5) - 2);
    const found = lookUp(map, sequence);
    expect(found).toBe(strings.get(named(sequence)));
    if (found !== undefined) hits++;
    else {
      map.set(`${k}`);
      strings.set(named(sequence), `${k}`);
    }
  }
  expect(strings.size).toBeLessThan(4096);
  expect(hits).toBeGreaterThan(1000);
});

test("one more than it holds has the others forgotten", () => {
  const map = new NumberMap<string>(4);
  for (let k = 0; k < 4; k++) {
    expect(lookUp(map, [k, k])).toBeUndefined();
    map.set(`${k}`);
  }
  for (let k = 0; k < 4; k++) expect(lookUp(map, [k, k])).toBe(`${k}`);
  expect(lookUp(map, [4, 4, 4])).toBeUndefined();
  map.set("4");
  expect(lookUp(map, [4, 4, 4])).toBe("4");
  for (let k = 0; k < 4; k++) expect(lookUp(map, [k, k])).toBeUndefined();
});
