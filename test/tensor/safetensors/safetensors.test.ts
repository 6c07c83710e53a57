// The safetensors parser and writer: files of the reference implementation, every malformed class, and fuzzing.
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { fileSource } from "../../../packages/tensor/src/safetensors/fileSource.ts";
import {
  parseSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from "../../../packages/tensor/src/safetensors/safetensors.ts";
import { repetitions } from "../../setup/repetitions.ts";

const reference = new Uint8Array(readFileSync(new URL("reference.safetensors", import.meta.url)));

/** A file of any header, length and data. */
function file(header: string | Uint8Array, data: ArrayLike<number> = [], length?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

/** A file of one tensor "a", F32 [1], with some of its fields replaced by JSON texts. */
function fileOf(fields: Record<string, string>, data: ArrayLike<number> = [0, 0, 0, 0]): Uint8Array {
  const all = { dtype: '"F32"', shape: "[1]", data_offsets: "[0,4]", ...fields };
  return file(`{"a":{${Object.entries(all).map(([key, value]) => `"${key}":${value}`)}}}`, data);
}

function entry(begin: number, end: number): string {
  return `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`;
}

describe("files of the reference implementation", () => {
  const { tensors, metadata } = parseSafetensors(reference);

  test("hold what was written", () => {
    expect(metadata).toEqual({ format: 'pt "é" \n' });
    const wanted: Record<string, SafetensorsTensor> = {
      bool: { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) },
      u8: { dtype: "U8", shape: [2], data: Uint8Array.of(0, 255) },
      i8: { dtype: "I8", shape: [2], data: Int8Array.of(-128, 127) },
      i16: { dtype: "I16", shape: [2], data: Int16Array.of(-32768, 32767) },
      u16: { dtype: "U16", shape: [2], data: Uint16Array.of(0, 65535) },
      f16: { dtype: "F16", shape: [5], data: Float32Array.of(1.5, -0, 65504, 2 ** -24, Number.POSITIVE_INFINITY) },
      bf16: { dtype: "BF16", shape: [4], data: Float32Array.of(1.5, -0, Number.POSITIVE_INFINITY, 2 ** -133) },
      i32: { dtype: "I32", shape: [2], data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1) },
      u32: { dtype: "U32", shape: [2], data: Uint32Array.of(0, 2 ** 32 - 1) },
      scalar: { dtype: "F32", shape: [], data: Float32Array.of(2.5) },
      empty: { dtype: "F32", shape: [2, 0, 3], data: new Float32Array(0) },
      f64: { dtype: "F64", shape: [2], data: Float64Array.of(Math.PI, -1e300) },
      i64: { dtype: "I64", shape: [2], data: BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n) },
      u64: { dtype: "U64", shape: [2], data: BigUint64Array.of(0n, 2n ** 64n - 1n) },
      "10": { dtype: "F32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      "9": { dtype: "F32", shape: [1], data: Float32Array.of(9) },
      "\u{1f600}": { dtype: "F32", shape: [1], data: Float32Array.of(1) },
      "\uffee": { dtype: "F32", shape: [1], data: Float32Array.of(2) },
      'a"\\\n\x01\x7f\u2028/é': { dtype: "F32", shape: [1], data: Float32Array.of(3) },
    };
    expect(Object.fromEntries(tensors)).toStrictEqual(wanted);
  });

  test("are written again byte for byte, from a map in any order", () => {
    expect(serializeSafetensors(tensors, metadata)).toEqual(reference);
    expect(serializeSafetensors(new Map([...tensors].reverse()), metadata)).toEqual(reference);
  });

  test("parse at any alignment, from a Node Buffer too, and do not share its memory", () => {
    for (let shift = 0; shift < 8; shift++) {
      const moved = Buffer.alloc(reference.length + shift).subarray(shift);
      moved.set(reference);
      const parsed = parseSafetensors(moved);
      moved.fill(255);
      expect(parsed.tensors).toStrictEqual(tensors);
    }
  });
});

describe("unusual but valid files", () => {
  test("no tensors, and nothing but padding", () => {
    expect(serializeSafetensors(new Map())).toEqual(file("{}      "));
    expect(parseSafetensors(file("{}      ")).tensors.size).toBe(0);
    expect(parseSafetensors(file("{}")).metadata).toEqual({});
  });

  test("a header with whitespace between and after its tokens", () => {
    const text = '{ "a" :\n{"dtype":\t"U8", "shape" : [ 2 ] , "data_offsets":[0 ,2]}}  \n ';
    expect(parseSafetensors(file(text, [7, 8])).tensors.get("a")!.data).toEqual(Uint8Array.of(7, 8));
  });

  test("a header that lists tensors in another order than their data", () => {
    const { tensors } = parseSafetensors(file(`{"b":${entry(1, 3)},"a":${entry(0, 1)}}`, [1, 2, 3]));
    expect([...tensors.keys()]).toEqual(["a", "b"]);
    expect(tensors.get("b")!.data).toEqual(Uint8Array.of(2, 3));
  });

  test("zero-size tensors between, before and after others", () => {
    const text = `{"x":${entry(0, 2)},"e":${entry(2, 2)},"f":${entry(0, 0)},"y":${entry(2, 3)},"g":${entry(3, 3)}}`;
    expect(parseSafetensors(file(text, [1, 2, 3])).tensors.size).toBe(5);
  });
});

describe("what the reference implementation reads is read", () => {
  test("metadata of null, and fields of a tensor that nobody knows", () => {
    expect(parseSafetensors(file('{"__metadata__":null}'))).toEqual({ tensors: new Map(), metadata: {} });
    const { tensors } = parseSafetensors(fileOf({ stride: "[1]", layout: '{"a":"b"}' }));
    expect(tensors.get("a")).toStrictEqual({ dtype: "F32", shape: [1], data: Float32Array.of(0) });
  });

  test.each(["F4", "F6_E2M3", "C64", "constructor"])("a file with %s, of which the other tensors are read", (dtype) => {
    const header = `{"odd":{"dtype":"${dtype}","shape":[3],"data_offsets":[0,2]},"a":${entry(2, 3)}}`;
    const { tensors } = parseSafetensors(file(header, [1, 2, 3]));
    expect(tensors.get("a")?.data).toEqual(Uint8Array.of(3));
    const odd = tensors.get("odd");
    expect([odd?.dtype, odd?.shape]).toEqual([dtype, [3]]);
    expect(() => odd?.data).toThrow(`safetensors: tensor "odd": dtype "${dtype}", want one of U64, I64`);
    expect(() => serializeSafetensors(tensors)).toThrow(`dtype "${dtype}", want one of`);
  });

  // OCP 8-bit Floating Point Specification 1.0, table 1; MX Formats 1.0, section 5.4; AMD's FNUZ: largest, smallest, ∞ and NaN.
  test.each([
    ["F8_E4M3", { 126: 448, 1: 2 ** -9, 8: 2 ** -6, 128: -0, 56: 1, 184: -1, 127: Number.NaN, 255: Number.NaN }],
    [
      "F8_E5M2",
      { 123: 57344, 1: 2 ** -16, 4: 2 ** -14, 128: -0, 60: 1, 124: Infinity, 252: -Infinity, 125: Number.NaN },
    ],
    ["F8_E8M0", { 0: 2 ** -127, 127: 1, 128: 2, 254: 2 ** 127, 255: Number.NaN }],
    ["F8_E4M3FNUZ", { 127: 240, 1: 2 ** -10, 64: 1, 255: -240, 128: Number.NaN, 0: 0 }],
    ["F8_E5M2FNUZ", { 127: 57344, 1: 2 ** -17, 64: 1, 128: Number.NaN }],
  ] as const)("%s as float32, exactly, and written again", (dtype, known) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, k) => k);
    const original = file(`{"a":{"dtype":"${dtype}","shape":[256],"data_offsets":[0,256]}}`, bytes);
    const { tensors } = parseSafetensors(original);
    const data = tensors.get("a")?.data as Float32Array;
    for (const [byte, value] of Object.entries(known)) expect(data[Number(byte)], byte).toBe(value);
    const again = serializeSafetensors(tensors).subarray(-256);
    for (const [k, value] of data.entries()) if (!Number.isNaN(value)) expect(again[k]).toBe(k);
    expect(parseSafetensors(serializeSafetensors(tensors)).tensors).toEqual(tensors);
    const wrong = new Map([["a", { dtype, shape: [2], data: Float32Array.of(1, 1 / 3) }]]);
    expect(() => serializeSafetensors(wrong)).toThrow(
      `safetensors: tensor "a": ${Math.fround(1 / 3)} at 1 is no number of ${dtype}, want it rounded to one`,
    );
  });
});

describe("a file of any size", () => {
  const folder = mkdtempSync(join(tmpdir(), "tweedie-safetensors-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("is read by the tensor from where it lies: 5 GB with a hole for all but the ends", () => {
    const path = join(folder, "large.safetensors");
    const big = 5e9;
    const info = (dtype: string, shape: number, begin: number, end: number) =>
      `{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`;
    const header = `{"a":${info("U8", 2, 0, 2)},"b":${info("U8", big, 2, big + 2)},"z":${info("BF16", 1, big + 2, big + 4)}}`;
    writeFileSync(path, file(header, [7, 8]));
    truncateSync(path, 8 + header.length + big + 4);
    const handle = openSync(path, "r+");
    writeSync(handle, Uint8Array.of(0x80, 0x3f), 0, 2, 8 + header.length + big + 2);
    closeSync(handle);
    const { tensors } = parseSafetensors(fileSource(path));
    expect(tensors.get("a")?.data).toEqual(Uint8Array.of(7, 8));
    expect(tensors.get("z")?.data).toEqual(Float32Array.of(1));
    expect(tensors.get("b")?.shape).toEqual([big]);
    writeFileSync(path, reference);
    expect(() => tensors.get("a")?.data).toThrow("has been replaced since it was opened, want it unchanged");
  });

  test("is read as its bytes are", () => {
    const path = join(folder, "reference.safetensors");
    writeFileSync(path, reference);
    expect(parseSafetensors(fileSource(path))).toEqual(parseSafetensors(reference));
    expect(() => fileSource(join(folder, "missing"))).toThrow("ENOENT");
  });

  test("says which tensor one array cannot hold", () => {
    const header = `{"a":{"dtype":"U8","shape":[9007199254740000],"data_offsets":[0,9007199254740000]}}`;
    const bytes = file(header);
    const source = {
      size: bytes.length + 9007199254740000,
      read: (begin: number, end: number) => new Uint8Array(end - begin).map((_, k) => bytes[begin + k]),
    };
    expect(() => parseSafetensors(source).tensors.get("a")?.data).toThrow(
      'safetensors: tensor "a": 9007199254740000 bytes, want as many as one array holds here',
    );
  });
});

describe("malformed files are refused with the reason", () => {
  const refused: Record<string, [bytes: Uint8Array, reason: RegExp]> = {
    "an empty file": [new Uint8Array(0), /0 bytes, want at least the 8/],
    "fewer than 8 bytes": [reference.subarray(0, 7), /7 bytes, want at least the 8/],
    "a header length past the file": [file("{}", [], 3n), /header of 3 bytes in a file of 10/],
    "a header length past the cap": [file("{}", [], 100_000_001n), /100000001 bytes, want at most 100000000/],
    "a header length of 2^64 - 1": [file("{}", [], 2n ** 64n - 1n), /18446744073709551615 bytes, want at most/],
    "a header that is not UTF-8": [file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not valid UTF-8/],
    "a header of no bytes": [file(""), /begins with "", want "\{"/],
    "a byte order mark": [file("\ufeff{}"), /begins with "\ufeff", want "\{"/],
    "a header that begins with a space": [file(" {}"), /begins with " ", want "\{"/],
    "a header that is a list": [file("[]"), /begins with "\[", want "\{"/],
    "a header that is not JSON": [file('{"a":}'), /header is not JSON/],
    "text after the header's object": [file("{}x"), /header is not JSON/],
    "zero bytes after the header's object": [file("{}\0\0"), /header is not JSON/],
    "a million brackets": [file(`{"a":${"[".repeat(1e6)}`), /nested 4 deep/],
    "a string without an end": [file('{"a'), /header is not JSON/],
    "a key with a bad escape": [file('{"\\x":1}'), /header is not JSON/],
    "more closing brackets than opening": [file('{}}}"a":1'), /header is not JSON/],
    "two tensors of one name": [file(`{"a":${entry(0, 1)},"a":${entry(0, 1)}}`, [0]), /key "a" twice/],
    "two tensors of one name, one escaped": [
      file(`{"a":${entry(0, 1)},"\\u0061":${entry(0, 1)}}`, [0]),
      /key "a" twice/,
    ],
    "two shapes of one tensor": [fileOf({ 'shape":[1],"shape': "[1]" }), /key "shape" twice/],
    "two metadata values of one key": [file('{"__metadata__":{"k":"1","k":"2"}}'), /key "k" twice/],
    "a tensor named __proto__": [file(`{"__proto__":${entry(0, 1)}}`, [0]), /tensor name "__proto__"/],
    "metadata named __proto__": [file('{"__metadata__":{"__proto__":"x"}}'), /metadata key "__proto__"/],
    "a name with half a surrogate pair": [file(`{"\\ud800":${entry(0, 1)}}`, [0]), /half a surrogate pair/],
    "metadata with half a surrogate pair": [file('{"__metadata__":{"k":"\\udc00"}}'), /half a surrogate pair/],
    "metadata that is a list": [file('{"__metadata__":[]}'), /__metadata__ is a list, want an object/],
    "metadata with a number": [file('{"__metadata__":{"k":1}}'), /metadata "k" is 1, want a string/],
    "a tensor that is a number": [file('{"a":1}'), /tensor "a" is 1, want \{dtype/],
    "a tensor that is a list": [file('{"a":[]}'), /tensor "a" is a list, want \{dtype/],
    "a missing dtype": [file('{"a":{"shape":[1],"data_offsets":[0,4]}}'), /dtype missing, want a string/],
    "a missing shape": [file('{"a":{"dtype":"U8","data_offsets":[0,4]}}'), /shape missing, want a list/],
    "missing offsets": [file('{"a":{"dtype":"U8","shape":[1]}}'), /data_offsets missing, want \[begin, end\]/],
    "a dtype that is a number": [fileOf({ dtype: "7" }), /dtype 7, want a string/],
    "a float8 of another size": [fileOf({ dtype: '"F8_E4M3"' }), /4 bytes of data for F8_E4M3 \[1\], want 1/],
    "a shape that is a string": [fileOf({ shape: '"1"' }), /shape "1", want a list/],
    "a negative extent": [fileOf({ shape: "[-1]" }), /extent -1 in the shape/],
    "a fractional extent": [fileOf({ shape: "[1.5]" }), /extent 1.5 in the shape/],
    "an extent spelt as a float": [fileOf({ shape: "[1.0]" }), /number 1.0 in the header, want plain digits/],
    "an extent with an exponent": [fileOf({ shape: "[1e0]" }), /number 1e0 in the header, want plain digits/],
    "an extent of minus zero": [fileOf({ shape: "[-0]" }), /number -0 in the header, want plain digits/],
    "an infinite extent": [fileOf({ shape: "[1e999]" }), /extent Infinity in the shape/],
    "an extent past 2^53": [fileOf({ shape: "[9007199254740993]" }), /number 9007199254740993 in the header/],
    "an extent of 2^53": [fileOf({ shape: "[9007199254740992]" }), /extent 9007199254740992 in the shape/],
    "an extent that is a string": [fileOf({ shape: '["1"]' }), /extent "1" in the shape/],
    "an extent that is null": [fileOf({ shape: "[null]" }), /extent null in the shape/],
    "a shape whose product overflows": [
      fileOf({ shape: "[4294967296,4294967296]" }),
      /\[4294967296, 4294967296\] overflows/,
    ],
    "a shape whose product overflows before a zero": [fileOf({ shape: "[134217728,134217728,0]" }), /overflows/],
    "offsets that are an object": [fileOf({ data_offsets: '{"begin":0}' }), /data_offsets an object, want/],
    "three offsets": [fileOf({ data_offsets: "[0,4,8]" }), /data_offsets \[0, 4, 8\], want/],
    "a negative offset": [fileOf({ data_offsets: "[-4,0]" }), /data_offsets \[-4, 0\], want/],
    "descending offsets": [fileOf({ data_offsets: "[4,0]" }), /\[4, 0\] descend/],
    "fewer bytes than the shape needs": [fileOf({ shape: "[2]" }), /4 bytes of data for F32 \[2\], want 8/],
    "more bytes than the shape needs": [
      fileOf({ shape: "[]", data_offsets: "[0,8]" }, new Uint8Array(8)),
      /8 bytes .* want 4/,
    ],
    "a hole before the first tensor": [file(`{"a":${entry(1, 2)}}`, [0, 0]), /begins at 1 and leaves a hole, want 0/],
    "a hole between tensors": [
      file(`{"a":${entry(0, 1)},"b":${entry(2, 3)}}`, [0, 0, 0]),
      /"b" begins at 2 and leaves a hole/,
    ],
    "tensors that overlap": [
      file(`{"a":${entry(0, 2)},"b":${entry(1, 3)}}`, [0, 0, 0]),
      /"b" begins at 1 and overlaps/,
    ],
    "tensors in the same place": [file(`{"a":${entry(0, 2)},"b":${entry(0, 2)}}`, [0, 0]), /begins at 0 and overlaps/],
    "data that is missing": [fileOf({}, [0, 0, 0]), /3 bytes of data, missing data, want 4/],
    "data after the last tensor": [
      fileOf({}, [0, 0, 0, 0, 0]),
      /5 bytes of data, bytes that belong to no tensor, want 4/,
    ],
    "a BOOL of 2": [file('{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', [1, 2]), /BOOL byte 2 at 1/],
  };

  test.each(Object.entries(refused))("%s", (_, [bytes, reason]) => {
    expect(() => parseSafetensors(bytes)).toThrow(reason);
    expect(() => parseSafetensors(bytes)).toThrow(/^safetensors: .*/);
  });

  test("with a short message, however long the name", () => {
    const long = "x".repeat(1_000_000);
    const shape = `[${"1,".repeat(100_000)}2]`;
    for (const bytes of [file(`{"${long}":1}`), fileOf({ shape }), fileOf({ shape: `[${"1".repeat(1000)}.0]` })]) {
      expect(messageOf(bytes)!.length).toBeLessThan(300);
    }
  });
});

describe("what cannot be written is refused with the reason", () => {
  const one: SafetensorsTensor = { dtype: "F32", shape: [1], data: Float32Array.of(1) };
  // Each is a mistake that types forbid and JavaScript allows.
  const wrong = (fields: object): SafetensorsTensor => ({ ...one, ...fields }) as SafetensorsTensor;
  test.each<[string, Map<string, SafetensorsTensor>, Record<string, string>, RegExp]>([
    ["a tensor with the name of the metadata", new Map([["__metadata__", one]]), {}, /"__metadata__" is the name of/],
    ["a tensor named __proto__", new Map([["__proto__", one]]), {}, /tensor name "__proto__"/],
    ["half a surrogate pair", new Map([["\ud800", one]]), {}, /half a surrogate pair/],
    ["an unknown dtype", new Map([["a", wrong({ dtype: "float32" })]]), {}, /dtype "float32", want one of/],
    [
      "an array of another class",
      new Map([["a", wrong({ dtype: "I32" })]]),
      {},
      /Float32Array for I32, want Int32Array/,
    ],
    [
      "float32 as bits of F16",
      new Map([["a", wrong({ dtype: "F16", data: Uint16Array.of(1) })]]),
      {},
      /want Float32Array/,
    ],
    ["too few elements", new Map([["a", wrong({ shape: [2, 3] })]]), {}, /1 elements for \[2, 3\], want 6/],
    ["a fractional extent", new Map([["a", wrong({ shape: [0.5] })]]), {}, /extent 0.5 in the shape/],
    ["a BOOL of 2", new Map([["a", wrong({ dtype: "BOOL", data: Uint8Array.of(2) })]]), {}, /BOOL byte 2 at 0/],
    ["metadata that is no string", new Map(), { k: 1 as unknown as string }, /metadata "k" is number, want a string/],
    ["metadata with half a surrogate pair", new Map(), { k: "\udc00" }, /half a surrogate pair/],
  ])("%s", (_, tensors, metadata, reason) => {
    expect(() => serializeSafetensors(tensors, metadata)).toThrow(reason);
  });
});

const CLASSES = {
  F64: Float64Array,
  F32: Float32Array,
  U32: Uint32Array,
  I32: Int32Array,
  U16: Uint16Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
} as const;

const name = fc.string({ unit: "binary" }).filter((text) => text !== "__proto__" && text !== "__metadata__");
const shape = fc.array(fc.nat(4), { maxLength: 4 });
const anyTensor: fc.Arbitrary<SafetensorsTensor> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(...(Object.keys(CLASSES) as (keyof typeof CLASSES)[])),
      shape,
      fc.infiniteStream(fc.nat(255)),
    )
    .map(([dtype, extents, bytes]) => {
      const data = new CLASSES[dtype](extents.reduce((a, b) => a * b, 1));
      const raw = new Uint8Array(data.buffer);
      for (let i = 0; i < raw.length; i++) raw[i] = bytes.next().value;
      return { dtype, shape: extents, data } as SafetensorsTensor; // CLASSES pairs dtype and class
    }),
  fc.tuple(shape, fc.infiniteStream(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))).map(([extents, values]) => {
    const data = new BigInt64Array(extents.reduce((a, b) => a * b, 1)).map(() => values.next().value);
    return { dtype: "I64" as const, shape: extents, data };
  }),
);

test("what is written is read back, for any names, shapes, values and metadata", () => {
  const tensorMaps = fc.uniqueArray(fc.tuple(name, anyTensor), { selector: ([key]) => key, maxLength: 8 });
  const metadatas = fc.dictionary(name, fc.string({ unit: "binary" }), { noNullPrototype: true });
  fc.assert(
    fc.property(tensorMaps, metadatas, (pairs, metadata) => {
      const tensors = new Map(pairs);
      const bytes = serializeSafetensors(tensors, metadata);
      const parsed = parseSafetensors(bytes);
      expect(new DataView(bytes.buffer).getBigUint64(0, true) % 8n).toBe(0n);
      expect(parsed.metadata).toEqual(metadata);
      expect(new Set(parsed.tensors.keys())).toEqual(new Set(tensors.keys()));
      for (const [key, { dtype, shape: extents, data }] of tensors) {
        const found = parsed.tensors.get(key)!;
        expect([found.dtype, found.shape]).toEqual([dtype, extents]);
        expect(bytesOf(found.data)).toEqual(bytesOf(data)); // as bytes, since NaNs differ in payload
      }
      expect(serializeSafetensors(parsed.tensors, parsed.metadata)).toEqual(bytes);
    }),
    { seed: 1, numRuns: 300 },
  );
});

describe("damage never does worse than the parser's own error", () => {
  const small = serializeSafetensors(
    new Map<string, SafetensorsTensor>([
      ["w", { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) }],
      ["b", { dtype: "BOOL", shape: [1], data: Uint8Array.of(1) }],
    ]),
    { k: "v" },
  );

  test("truncation at every byte is always seen", () => {
    for (let length = 0; length < small.length; length++) {
      expect(messageOf(small.subarray(0, length)), `${length} bytes`).toMatch(/^safetensors: /);
    }
  });

  test("every byte replaced by every other value", () => {
    const damaged = small.slice();
    let accepted = 0;
    for (let i = 0; i < small.length; i++) {
      for (let value = 0; value < 256; value++) {
        damaged[i] = value;
        const message = messageOf(damaged);
        if (message === undefined) accepted++;
        else if (!message.startsWith("safetensors: ")) throw new Error(`byte ${i} = ${value}: ${message}`);
      }
      damaged[i] = small[i]!;
    }
    // Values and names may change unseen, the structure may not: most of the header is structure.
    expect(accepted).toBeLessThan((small.length * 256) / 4);
  });

  test("headers of any JSON, and random bytes", () => {
    const junk = fc.oneof(fc.json(), fc.constantFrom('"F32"', "[1]", "[0,4]", "-1", "1e400", "null", "{}"));
    const headers = fc
      .array(fc.tuple(fc.constantFrom("dtype", "shape", "data_offsets", "x"), junk), { maxLength: 5 })
      .map((fields) => `{"a":{${fields.map(([key, value]) => `"${key}":${value}`)}}}`);
    const bytes = fc.oneof(
      fc.tuple(headers, fc.uint8Array({ maxLength: 8 })).map(([header, data]) => file(header, data)),
      fc.json().map((header) => file(header)),
      fc.uint8Array({ maxLength: 64 }).map((header) => file(header)),
      fc.uint8Array({ maxLength: 64 }),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        const message = messageOf(input);
        return message === undefined || message.startsWith("safetensors: ");
      }),
      { seed: 2, numRuns: repetitions("safetensors files") },
    );
  });
});

function messageOf(bytes: Uint8Array): string | undefined {
  try {
    parseSafetensors(bytes);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function bytesOf(data: SafetensorsTensor["data"]): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
