// Integers and bools: arithmetic modulo 2³², casts at and beyond the ends, and bools that are 0 or 1 whatever came in.
import { type Backend, capture, cpu, type DType, full, grad, tensor } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";

const places = [
  ...openers.filter(({ skip }) => !skip),
  { name: "cpu in float64", open: async () => cpu({ precision: "float64" }) },
];

/** Numbers, and what they are as int32 and uint32. */
const CASTS = [
  [2147483520, 2147483520, 2147483520],
  [2147483648, 2147483647, 2147483648],
  [3e9, 2147483647, 3000000000],
  [-2147483648, -2147483648, 0],
  [-3e9, -2147483648, 0],
  [4294967296, 2147483647, 4294967295],
  [1e20, 2147483647, 4294967295],
  [-1e20, -2147483648, 0],
  [Number.POSITIVE_INFINITY, 2147483647, 4294967295],
  [Number.NEGATIVE_INFINITY, -2147483648, 0],
  [Number.NaN, 0, 0],
  [1.9, 1, 1],
  [-1.9, -1, 0],
  [-0.5, 0, 0],
] as const;
const numbers = CASTS.map(([number]) => number);

/** What is not 0 is true. */
const BOOLS = [0, 1, 255, -1, 0.5, -0, 1e-40, Number.NaN, Number.POSITIVE_INFINITY];
const TRUE = [0, 1, 1, 1, 1, 0, 1, 1, 1];

describe.each(places)("on $name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.dispose());
  const of = (values: readonly number[], dtype: DType) => tensor([...values], { backend, dtype });
  const list = async (x: { data(): Promise<ArrayLike<number>> }) => Array.from(await x.data());

  test("casts of floats to integers truncate, stop at the type's ends, and make 0 of NaN", async () => {
    const x = of(numbers, "float32");
    expect(await list(x.cast("int32"))).toEqual(CASTS.map(([, signed]) => signed));
    expect(await list(x.cast("uint32"))).toEqual(CASTS.map(([, , unsigned]) => unsigned));
  });

  test("numbers given for an integer tensor become what a cast makes of them", async () => {
    expect(await list(of(numbers, "int32"))).toEqual(CASTS.map(([, signed]) => signed));
    expect(await list(of(numbers, "uint32"))).toEqual(CASTS.map(([, , unsigned]) => unsigned));
    for (const [number, signed, unsigned] of CASTS) {
      expect(await list(full([2], number, { backend, dtype: "int32" }))).toEqual([signed, signed]);
      expect(await list(full([2], number, { backend, dtype: "uint32" }))).toEqual([unsigned, unsigned]);
    }
    expect(await list(full([1], 16777217, { backend, dtype: "int32" }))).toEqual([16777217]);
  });

  test("casts between integers keep the 32 bits, and an integer becomes the nearest float", async () => {
    const signed = [-1, -2147483648, 2147483647, 16777217];
    expect(await list(of(signed, "int32").cast("uint32"))).toEqual([4294967295, 2147483648, 2147483647, 16777217]);
    expect(await list(of([4294967295, 5], "uint32").cast("int32"))).toEqual([-1, 5]);
    const floats = await of(signed, "int32").cast("float32").data();
    expect(Array.from(floats, Math.fround)).toEqual([-1, -2147483648, 2147483648, 16777216]);
    expect(await list(of([0, 1], "bool").cast("int32"))).toEqual([0, 1]);
  });

  test("sums, differences and products of integers are those modulo 2³²", async () => {
    const [a, b] = [
      [123456789, -2147483648, 2147483647, 65537, -7],
      [987654321, -1, 2147483647, 65537, 3],
    ];
    const wrapped = {
      add: (x: number, y: number) => (x + y) | 0,
      sub: (x: number, y: number) => (x - y) | 0,
      mul: Math.imul,
    };
    for (const [name, f] of Object.entries(wrapped)) {
      const method = name as keyof typeof wrapped; // its keys
      const wanted = a.map((x, k) => f(x, b[k]));
      expect(await list(of(a, "int32")[method](of(b, "int32"))), name).toEqual(wanted);
      const unsigned = [a, b].map((values) => of(values, "int32").cast("uint32"));
      expect(await list(unsigned[0][method](unsigned[1])), name).toEqual(wanted.map((x) => x >>> 0));
    }
    expect(await list(of(a, "int32").mul(987654321))).toEqual(a.map((x) => Math.imul(x, 987654321)));
  });

  test("bools are 0 or 1, whatever came in, and so is what follows from them", async () => {
    const ways = {
      tensor: of(BOOLS, "bool"),
      bytes: tensor(Uint8Array.from([0, 1, 255, 2, 3, 0, 4, 5, 6]), { backend, dtype: "bool" }),
      cast: of(BOOLS, "float32").cast("bool"),
      "cast of int32": of([0, 1, 255, -1, 7, 0, -2147483648, 2, 3], "int32").cast("bool"),
      "cast of uint32": of([0, 1, 255, 4294967295, 7, 0, 2147483648, 2, 3], "uint32").cast("bool"),
    };
    for (const [way, bools] of Object.entries(ways)) {
      expect(await list(bools), way).toEqual(TRUE);
      expect(await list(bools.logicalNot()), way).toEqual(TRUE.map((x) => 1 - x));
      expect(await list(bools.logicalAnd(of(TRUE, "bool"))), way).toEqual(TRUE);
      expect(await list(bools.logicalOr(of(TRUE, "bool"))), way).toEqual(TRUE);
      expect(await bools.cast("float32").sum().item(), way).toBe(7);
      expect(await list(bools.equal(of(TRUE, "bool"))), way).toEqual(TRUE.map(() => 1));
    }
    expect(await list(of([2], "bool").logicalAnd(of([1], "bool")))).toEqual([1]);
    expect(await list(full([2], 255, { backend, dtype: "bool" }))).toEqual([1, 1]);
  });

  test("bools and integers that a captured step uploads anew are elements too", async () => {
    let step = 0;
    const counted = capture(() => {
      const value = 100 * step++;
      const bools = tensor([value, 2], { backend, dtype: "bool" });
      return [bools.cast("float32"), tensor([value + 0.5, 3e9], { backend, dtype: "int32" })];
    });
    for (let k = 0; k < 5; k++) {
      const [bools, integers] = counted();
      expect(await list(bools)).toEqual([k === 0 ? 0 : 1, 1]);
      expect(await list(integers)).toEqual([100 * k, 2147483647]);
    }
  });

  test("a number that an operand's type does not hold is refused before any work", () => {
    const [n, b] = [of([1, 2], "int32"), of([0, 1], "bool")];
    const { buffers } = backend.memory();
    expect(() => n.add(0.5)).toThrow("add: the number 0.5 with a tensor of int32, want an int32");
    expect(() => n.mul(2 ** 31)).toThrow("mul: the number 2147483648 with a tensor of int32, want an int32");
    expect(() => n.cast("uint32").less(-1)).toThrow("less: the number -1 with a tensor of uint32, want an uint32");
    expect(() => n.greater(Number.NaN)).toThrow("greater: the number NaN with a tensor of int32, want an int32");
    expect(() => b.equal(2)).toThrow("equal: the number 2 with a tensor of bool, want 0 or 1");
    expect(() => b.where(n, 0.5)).toThrow("where: the number 0.5 with a tensor of int32, want an int32");
    expect(backend.memory().buffers).toBe(buffers + 1);
  });

  test("a cast to an integer has no gradient, and one to float32 passes it on", async () => {
    const [g] = grad((x) => x.mul(x.cast("int32").cast("float32")).sum(), [of([1.5, -2.5], "float32")]);
    expect(await list(g)).toEqual([1, -2]);
  });
});
