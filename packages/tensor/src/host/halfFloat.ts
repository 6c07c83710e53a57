// The 16-bit floats of files, binary16 and bfloat16, to and from float32. Nothing computes in them here.

/**
 * IEEE binary16 bit patterns as float32; exact, NaN payloads included.
 * @param halves [n] bit patterns
 * @returns [n]
 */
export function decodeFloat16(halves: Uint16Array): Float32Array {
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) values[i] = (sign === 0 ? fraction : -fraction) * 2 ** -24;
    else bits[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  }
  return values;
}

/**
 * float32 as IEEE binary16 bit patterns, rounded to nearest, ties to even; 65520 and above become infinite.
 * @param values [n]
 * @returns [n] bit patterns
 */
export function encodeFloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  return Uint16Array.from(bits, (word, i) => {
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7c00 | nanFraction((word >> 13) & 0x3ff, 0x200);
    if (magnitude >= 0x477ff000) return sign | 0x7c00;
    if (magnitude < 0x38800000) return sign | roundHalfEven(Math.abs(values[i]!) * 2 ** 24);
    return sign | ((magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x38000000) >> 13);
  });
}

/**
 * bfloat16 bit patterns as float32; exact.
 * @param halves [n] bit patterns
 * @returns [n]
 */
export function decodeBfloat16(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}

/**
 * float32 as bfloat16 bit patterns, rounded to nearest, ties to even.
 * @param values [n]
 * @returns [n] bit patterns
 */
export function encodeBfloat16(values: Float32Array): Uint16Array {
  return Uint16Array.from(bitsOf(values), (word) => {
    if ((word & 0x7fffffff) > 0x7f800000) {
      return ((word >>> 16) & 0xff80) | nanFraction((word >>> 16) & 0x7f, 0x40);
    }
    return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  });
}

// A NaN must not become an infinity when its payload is cut off.
function nanFraction(fraction: number, quiet: number): number {
  return fraction === 0 ? quiet : fraction;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
