// The 8-bit floats of files, to and from float32, exactly. Nothing computes in them here.

/** The bits of a format, and the meaning of its extreme patterns. */
interface Format {
  readonly fraction: number;
  readonly bias: number;
  /** "ieee": the highest exponent has ∞ and NaN; "fn": all ones alone are NaN; "fnuz": −0 is NaN; "scale": no sign, no fraction. */
  readonly specials: "ieee" | "fn" | "fnuz" | "scale";
}

/** By the names of safetensors: OCP's formats (Micikevicius et al. 2022; MX specification 1.0), and AMD's FNUZ. */
const FORMATS = {
  F8_E8M0: { fraction: 0, bias: 127, specials: "scale" },
  F8_E4M3: { fraction: 3, bias: 7, specials: "fn" },
  F8_E5M2: { fraction: 2, bias: 15, specials: "ieee" },
  F8_E4M3FNUZ: { fraction: 3, bias: 8, specials: "fnuz" },
  F8_E5M2FNUZ: { fraction: 2, bias: 16, specials: "fnuz" },
} satisfies Record<string, Format>;

/** The names of the 8-bit float formats. */
export type Float8 = keyof typeof FORMATS;

/** Whether an element type is an 8-bit float. */
export function isFloat8(name: string): name is Float8 {
  return Object.hasOwn(FORMATS, name);
}

/** Bit patterns as float32, exactly. */
export function decodeFloat8(format: Float8, bytes: Uint8Array): Float32Array {
  const values = valuesOf(FORMATS[format]);
  return Float32Array.from(bytes, (byte) => values[byte]);
}

/**
 * float32 as bit patterns. Every NaN becomes the same one.
 * @throws Error naming the first number that the format cannot hold exactly
 */
export function encodeFloat8(format: Float8, values: Float32Array): Uint8Array {
  const bytes = new Map<number, number>();
  for (const [byte, word] of wordsOf(valuesOf(FORMATS[format])).entries()) {
    if (!bytes.has(word)) bytes.set(word, byte);
  }
  return Uint8Array.from(wordsOf(values.map((value) => (Number.isNaN(value) ? Number.NaN : value))), (word, i) => {
    const byte = bytes.get(word);
    if (byte === undefined) throw new Error(`${values[i]} at ${i} is no number of ${format}, want it rounded to one`);
    return byte;
  });
}

/** The value of each of the 256 patterns. */
function valuesOf({ fraction, bias, specials }: Format): Float32Array {
  return Float32Array.from({ length: 256 }, (_, byte) => {
    if (specials === "scale") return byte === 255 ? Number.NaN : 2 ** (byte - bias);
    if (specials === "fnuz" && byte === 0x80) return Number.NaN;
    const sign = byte >= 0x80 ? -1 : 1;
    const magnitude = byte & 0x7f;
    if (specials === "fn" && magnitude === 0x7f) return Number.NaN;
    const [exponent, rest] = [magnitude >> fraction, magnitude % 2 ** fraction];
    if (specials === "ieee" && exponent === 0x7f >> fraction) return rest === 0 ? sign * Infinity : Number.NaN;
    const scale = sign * 2 ** (Math.max(exponent, 1) - bias - fraction);
    return scale * (exponent === 0 ? rest : rest + 2 ** fraction);
  });
}

function wordsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
