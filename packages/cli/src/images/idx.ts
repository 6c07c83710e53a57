// The IDX file format of the MNIST family: bytes to a shape and its bytes. Not file access; unsigned bytes only.

/** An array of a file: row-major `data` of the product of `shape` elements. */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/**
 * Reads an IDX file of unsigned bytes. The data is a view of `bytes`.
 * @param bytes the whole file, unpacked
 * @param name the file's name, for errors
 * @param rank the number of axes it must have
 * @throws Error naming the file, what it holds and what it should
 */
export function readIdx(bytes: Uint8Array, name: string, rank: number): IdxArray {
  const wanted = `00 00 08 ${hex(rank)} (unsigned bytes, ${rank} ${rank === 1 ? "axis" : "axes"})`;
  const magic = [...bytes.subarray(0, 4)];
  if (magic.length < 4 || magic[0] !== 0 || magic[1] !== 0 || magic[2] !== 8 || magic[3] !== rank) {
    throw new Error(`idx: ${name}: begins with ${magic.map(hex).join(" ") || "nothing"}, want ${wanted}`);
  }
  const headerSize = 4 + 4 * rank;
  if (bytes.length < headerSize) {
    throw new Error(`idx: ${name}: ${bytes.length} bytes, want at least the ${headerSize} of the header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, extent) => product * extent, 1);
  const data = bytes.subarray(headerSize);
  if (data.length !== size) {
    throw new Error(`idx: ${name}: ${data.length} bytes of data for [${shape.join(", ")}], want ${size}`);
  }
  return { shape, data };
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
