// The element types of safetensors files: stored bytes to typed arrays and back. Not the layout of a file.

import { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from "../host/halfFloat.ts";
import { decodeFloat8, encodeFloat8, type Float8, isFloat8 } from "./float8.ts";
import { checkName, elementCount, type HeaderEntry, listText, quote } from "./header.ts";

/** The array class of each element type in memory. 16-bit and 8-bit floats become float32, exactly. */
export interface SafetensorsArrays extends Readonly<Record<Float8, Float32Array>> {
  /** Unsigned integers of 64 bits. */
  readonly U64: BigUint64Array;
  /** Signed integers of 64 bits. */
  readonly I64: BigInt64Array;
  /** IEEE binary64. */
  readonly F64: Float64Array;
  /** IEEE binary32. */
  readonly F32: Float32Array;
  /** Unsigned integers of 32 bits. */
  readonly U32: Uint32Array;
  /** Signed integers of 32 bits. */
  readonly I32: Int32Array;
  /** bfloat16. */
  readonly BF16: Float32Array;
  /** IEEE binary16. */
  readonly F16: Float32Array;
  /** Unsigned integers of 16 bits. */
  readonly U16: Uint16Array;
  /** Signed integers of 16 bits. */
  readonly I16: Int16Array;
  /** Signed integers of 8 bits. */
  readonly I8: Int8Array;
  /** Unsigned integers of 8 bits. */
  readonly U8: Uint8Array;
  /** Bytes 0 and 1. */
  readonly BOOL: Uint8Array;
}

/** The element types that are read and written. */
export type SafetensorsDtype = keyof SafetensorsArrays;

/**
 * A tensor of a file: `data` holds its elements in row-major order, those of BOOL as bytes 0 and 1. Element types that are not
 * read (F4, C64, …) are listed with name and shape, and their `data` throws.
 */
export type SafetensorsTensor = {
  [D in SafetensorsDtype]: {
    readonly dtype: D;
    readonly shape: readonly number[];
    readonly data: SafetensorsArrays[D];
  };
}[SafetensorsDtype];

type AnyArray = SafetensorsArrays[SafetensorsDtype];

interface ArrayClass {
  new (buffer: ArrayBuffer): AnyArray;
  readonly BYTES_PER_ELEMENT: number;
}

// The array classes as stored, in the reference implementation's file order: widest alignment first.
const STORED: Readonly<Record<SafetensorsDtype, ArrayClass>> = {
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
  F32: Float32Array,
  U32: Uint32Array,
  I32: Int32Array,
  BF16: Uint16Array,
  F16: Uint16Array,
  U16: Uint16Array,
  I16: Int16Array,
  F8_E8M0: Uint8Array,
  F8_E4M3FNUZ: Uint8Array,
  F8_E5M2FNUZ: Uint8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};
const DTYPES = Object.keys(STORED);

/**
 * The place of an element type in the reference implementation's file order, widest alignment first.
 * @returns -1 for what is not an element type
 */
export function dtypeRank(dtype: string): number {
  return DTYPES.indexOf(dtype);
}

/**
 * Checks that the number of data bytes fits element type and shape. Types that are not read pass.
 * @throws Error naming the tensor
 */
export function checkSize({ name, dtype, shape, begin, end }: HeaderEntry): void {
  const what = `tensor ${quote(name)}`;
  const count = elementCount(shape, what);
  if (!isDtype(dtype)) return;
  const size = count * STORED[dtype].BYTES_PER_ELEMENT;
  if (end - begin !== size) {
    throw new Error(`safetensors: ${what}: ${end - begin} bytes of data for ${dtype} ${listText(shape)}, want ${size}`);
  }
}

/** Whether an element type is read and written. */
export function isDtype(dtype: string): dtype is SafetensorsDtype {
  return Object.hasOwn(STORED, dtype);
}

/**
 * The elements of a checked entry.
 * @param bytes of that entry alone; the result may keep them
 * @throws Error naming the tensor when its element type is not read, or a BOOL is neither 0 nor 1
 */
export function elementsOf({ name, dtype }: HeaderEntry, bytes: Uint8Array<ArrayBuffer>): AnyArray {
  if (!isDtype(dtype)) throw new Error(`safetensors: tensor ${quote(name)}: ${unread(dtype)}`);
  if (dtype === "BOOL") checkBooleans(name, bytes);
  if (isFloat8(dtype)) return decodeFloat8(dtype, bytes);
  const stored = new STORED[dtype](bytes.buffer);
  if (dtype === "F16") return decodeFloat16(stored as Uint16Array);
  return dtype === "BF16" ? decodeBfloat16(stored as Uint16Array) : stored;
}

/**
 * The bytes of a tensor in a file, without a copy where memory holds the same bytes.
 * @throws Error naming the tensor when name, element type, shape and array do not fit together
 */
export function storedBytes(name: string, tensor: SafetensorsTensor): Uint8Array {
  checkName(name, "tensor name");
  const what = `tensor ${quote(name)}`;
  if (name === "__metadata__") throw new Error(`safetensors: ${what} is the name of the metadata, want another`);
  if (!isDtype(tensor.dtype)) {
    throw new Error(`safetensors: ${what}: ${unread(tensor.dtype)}`);
  }
  const isNarrow = tensor.dtype === "F16" || tensor.dtype === "BF16" || isFloat8(tensor.dtype);
  const wanted = isNarrow ? Float32Array : STORED[tensor.dtype];
  if (!(tensor.data instanceof wanted)) {
    throw new Error(`safetensors: ${what}: ${tensor.data.constructor.name} for ${tensor.dtype}, want ${wanted.name}`);
  }
  const count = elementCount(tensor.shape, what);
  if (tensor.data.length !== count) {
    throw new Error(
      `safetensors: ${what}: ${tensor.data.length} elements for ${listText(tensor.shape)}, want ${count}`,
    );
  }
  const stored = storedElements(tensor, what);
  const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  if (tensor.dtype === "BOOL") checkBooleans(name, bytes);
  return bytes;
}

function storedElements({ dtype, data }: SafetensorsTensor, what: string): AnyArray {
  if (dtype === "F16") return encodeFloat16(data);
  if (dtype === "BF16") return encodeBfloat16(data);
  if (!isFloat8(dtype)) return data;
  try {
    return encodeFloat8(dtype, data as Float32Array); // dtype and data were checked
  } catch (error) {
    throw new Error(`safetensors: ${what}: ${(error as Error).message}`, { cause: error });
  }
}

function unread(dtype: string): string {
  return `dtype ${quote(dtype)}, want one of ${DTYPES.join(", ")}`;
}

function checkBooleans(name: string, bytes: Uint8Array): void {
  const wrong = bytes.findIndex((byte) => byte > 1);
  if (wrong >= 0) {
    throw new Error(`safetensors: tensor ${quote(name)}: BOOL byte ${bytes[wrong]} at ${wrong}, want 0 or 1`);
  }
}
