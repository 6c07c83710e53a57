// The conversions between float32 and the 16-bit floats, checked on every bit pattern and at every rounding boundary.
import { expect, test } from "vitest";
import {
  decodeBfloat16,
  decodeFloat16,
  encodeBfloat16,
  encodeFloat16,
} from "../../../packages/tensor/src/host/halfFloat.ts";

const every = Uint16Array.from({ length: 65536 }, (_, i) => i);

// The values of a format by its definition: sign, exponent and fraction fields.
function byDefinition(half: number, fractionBits: number, bias: number): number {
  const exponentBits = 15 - fractionBits;
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (half & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const formats = [
  { name: "binary16", decode: decodeFloat16, encode: encodeFloat16, fractionBits: 10, bias: 15, infinity: 0x7c00 },
  { name: "bfloat16", decode: decodeBfloat16, encode: encodeBfloat16, fractionBits: 7, bias: 127, infinity: 0x7f80 },
];

for (const { name, decode, encode, fractionBits, bias, infinity } of formats) {
  test(`${name}: every pattern decodes to the value of its fields`, () => {
    expect([...decode(every)]).toEqual([...every].map((half) => byDefinition(half, fractionBits, bias)));
  });

  test(`${name}: every pattern survives decoding and encoding, NaN payloads included`, () => {
    expect(encode(decode(every))).toEqual(every);
  });

  test(`${name}: between neighbours, below the middle rounds down, above rounds up, the middle to even`, () => {
    const below = every.subarray(0, infinity);
    // For rounding, infinity stands where the next value would be, 2^(bias + 1).
    const values = decode(every);
    const value = (half: number): number => (half === infinity ? 2 ** (bias + 1) : values[half]!);
    const middles = Float32Array.from(below, (half) => (value(half) + value(half + 1)) / 2);
    const bits = new Uint32Array(middles.buffer);
    const under = new Float32Array(bits.map((word) => word - 1).buffer);
    const over = new Float32Array(bits.map((word) => word + 1).buffer);
    expect(encode(under)).toEqual(below);
    expect(encode(over)).toEqual(below.map((half) => half + 1));
    expect(encode(middles)).toEqual(below.map((half) => half + (half & 1)));
    expect(encode(middles.map((x) => -x))).toEqual(below.map((half) => (half + (half & 1)) | 0x8000));
  });

  test(`${name}: values past the range become infinite, tiny ones a zero of their sign, NaN stays NaN`, () => {
    const extremes = encode(Float32Array.of(3.4e38, -3.4e38, 1e-45, -1e-45));
    expect([...extremes]).toEqual([infinity, infinity | 0x8000, 0, 0x8000]);
    const low = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer); // payload in the lowest bit only
    expect([...decode(encode(low))]).toEqual([Number.NaN, Number.NaN]);
  });
}
