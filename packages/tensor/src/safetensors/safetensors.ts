// The safetensors file format: bytes to named typed arrays and back. It knows no Tensor.
import { wrongArgument } from "../argument.ts";
import { checkSize, dtypeRank, elementsOf, isDtype, type SafetensorsTensor, storedBytes } from "./dtype.ts";
import { checkName, checkText, type HeaderEntry, parseHeader, quote } from "./header.ts";

export type { SafetensorsArrays, SafetensorsDtype, SafetensorsTensor } from "./dtype.ts";

/** The contents of a file. */
export interface SafetensorsFile {
  /** The tensors by name, in the order of their data. */
  readonly tensors: Map<string, SafetensorsTensor>;
  /** Texts by key. */
  readonly metadata: Record<string, string>;
}

const HEADER_CAP = 100_000_000;

/** Bytes that are read in parts, such as a large file. */
export interface ByteSource {
  /** The number of bytes. */
  readonly size: number;
  /** A new array with the bytes [begin, end). */
  read(begin: number, end: number): Uint8Array<ArrayBuffer>;
}

/**
 * Reads a safetensors file.
 * @param source the bytes of the file, from which tensors are copied; or `fileSource(path)`, which reads a tensor each time its
 * `data` is asked for and keeps nothing in memory
 * @throws Error `safetensors: …` for a file that breaks the format
 */
export function parseSafetensors(source: Uint8Array | ByteSource): SafetensorsFile {
  if (!ArrayBuffer.isView(source) && typeof source?.read !== "function") {
    throw wrongArgument("parseSafetensors", "source", source, "the bytes of a file, or fileSource(path)");
  }
  const bytes = ArrayBuffer.isView(source) ? sourceOf(source) : source;
  const headerEnd = 8 + headerLength(bytes);
  const { entries, metadata } = parseHeader(decodeText(bytes.read(8, headerEnd)));
  for (const entry of entries) checkSize(entry);
  const size = bytes.size - headerEnd;
  const covered = entries.at(-1)?.end ?? 0;
  if (covered !== size) {
    const fault = covered < size ? "bytes that belong to no tensor" : "missing data";
    throw new Error(`safetensors: ${size} bytes of data, ${fault}, want ${covered}`);
  }
  const tensors = entries.map((entry): [string, SafetensorsTensor] => {
    const read = () => elementsOf(entry, readEntry(bytes, entry, headerEnd));
    return [entry.name, tensorOf(entry, ArrayBuffer.isView(source) && isDtype(entry.dtype) ? read() : read)];
  });
  return { tensors: new Map(tensors), metadata };
}

/**
 * The bytes of a safetensors file. Equal contents give equal bytes: tensors lie in the reference implementation's order
 * (alignment, then name), metadata keys are sorted, and empty metadata are not written.
 * @throws Error `safetensors: …` when an array does not fit its element type or shape, or a name cannot be written
 */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const parts = safetensorsParts(tensors, metadata);
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** The bytes of `serializeSafetensors` in parts, for files larger than one array can be. @throws as serializeSafetensors */
export function safetensorsParts(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  if (!(tensors instanceof Map)) {
    throw wrongArgument("safetensors", "tensors", tensors, "a Map of { dtype, shape, data } by name");
  }
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw wrongArgument("safetensors", "metadata", metadata, "an object of texts");
  }
  const ordered = [...tensors].sort(
    ([nameA, a], [nameB, b]) => dtypeRank(a.dtype) - dtypeRank(b.dtype) || compareCodePoints(nameA, nameB),
  );
  const fields = Object.keys(metadata).length > 0 ? [`"__metadata__":${metadataText(metadata)}`] : [];
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, tensor] of ordered) {
    const part = storedBytes(name, tensor);
    const info = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [end, end + part.length] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    parts.push(part);
    end += part.length;
  }
  const header = new TextEncoder().encode(`{${fields.join(",")}}`);
  const headerSize = Math.ceil(header.length / 8) * 8;
  if (headerSize > HEADER_CAP) {
    throw new Error(`safetensors: header of ${headerSize} bytes, want at most ${HEADER_CAP}`);
  }
  const start = new Uint8Array(8 + headerSize);
  new DataView(start.buffer).setBigUint64(0, BigInt(headerSize), true);
  start.set(header, 8);
  start.fill(0x20, 8 + header.length);
  return [start, ...parts];
}

function readEntry(source: ByteSource, { name, begin, end }: HeaderEntry, headerEnd: number): Uint8Array<ArrayBuffer> {
  try {
    return source.read(headerEnd + begin, headerEnd + end);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const what = `tensor ${quote(name)}: ${end - begin} bytes`;
    throw new Error(`safetensors: ${what}, want as many as one array holds here (${error.message})`, { cause: error });
  }
}

/** An entry with its elements, or with the function that reads them. */
function tensorOf({ dtype, shape }: HeaderEntry, elements: object): SafetensorsTensor {
  const tensor =
    typeof elements === "function"
      ? Object.defineProperty({ dtype, shape }, "data", { get: elements as () => unknown, enumerable: true })
      : { dtype, shape, data: elements };
  return tensor as SafetensorsTensor; // `elementsOf` pairs dtype and class, which types cannot follow
}

function sourceOf(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(begin, end) {
      const copy = new Uint8Array(end - begin); // not slice(), which is a view on a Node Buffer
      copy.set(bytes.subarray(begin, end));
      return copy;
    },
  };
}

function headerLength(source: ByteSource): number {
  if (source.size < 8) {
    throw new Error(`safetensors: ${source.size} bytes, want at least the 8 of the header length`);
  }
  const length = new DataView(source.read(0, 8).buffer).getBigUint64(0, true);
  if (length > BigInt(HEADER_CAP)) {
    throw new Error(`safetensors: header of ${length} bytes, want at most ${HEADER_CAP}`);
  }
  if (length > BigInt(source.size - 8)) {
    throw new Error(`safetensors: header of ${length} bytes in a file of ${source.size}, want it inside the file`);
  }
  return Number(length);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new Error("safetensors: header is not valid UTF-8, want JSON in UTF-8", { cause: error });
  }
}

function metadataText(metadata: Readonly<Record<string, string>>): string {
  const fields = Object.entries(metadata).sort(([a], [b]) => compareCodePoints(a, b));
  return `{${fields.map(([key, value]) => metadataField(key, value)).join(",")}}`;
}

function metadataField(key: string, value: string): string {
  checkName(key, "metadata key");
  if (typeof value !== "string") {
    throw new Error(`safetensors: metadata ${quote(key)} is ${typeof value}, want a string`);
  }
  checkText(value, `metadata ${quote(key)}:`);
  return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
}

// The order of the UTF-8 bytes. `<` compares UTF-16 units and puts surrogate pairs below U+E000 to U+FFFF.
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [unitA, unitB] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (unitA !== unitB) return rank(unitA) - rank(unitB);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
