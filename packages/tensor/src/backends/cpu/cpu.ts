// The reference backend: runs each op's `cpu` rule at once, in float32 or float64. The oracle of the tests; never optimised.

import { expectOptions } from "../../argument.ts";
import { type Backend, type MemoryInfo, type Operand, OutOfMemoryError } from "../../backend.ts";
import { turn } from "../../host/turn.ts";
import { freeUnreachable } from "../../memory/unscoped.ts";
import type { NdArray, NumberArray, Op } from "../../op.ts";
import { type DType, isContiguous } from "../../shape.ts";

/** Options of the `cpu` backend. */
export interface CpuOptions {
  /** What float32 tensors are computed and stored in; float64 is for checking the others. Default "float32". */
  readonly precision?: "float32" | "float64";
  /** The bytes it may hold. Default 8 GiB. */
  readonly budget?: number;
  /** Fills new buffers with NaN, so that an element that an op forgot shows. Default false. */
  readonly poison?: boolean;
}

interface CpuBuffer {
  readonly data: NumberArray;
}

/** The CPU reference backend. */
export function cpu(options: CpuOptions = {}): Backend {
  expectOptions("cpu", options);
  const { precision = "float32", budget = 8 * 2 ** 30, poison = false } = options;
  const memory = { buffers: 0, bytes: 0, peakBytes: 0 };
  const Float = precision === "float64" ? Float64Array : Float32Array;

  const make = (size: number, dtype: DType, label: string): NumberArray => {
    try {
      if (dtype === "float32") return new Float(size);
      return dtype === "int32" ? new Int32Array(size) : new Uint32Array(size);
    } catch {
      throw new OutOfMemoryError(
        `${label}: one array of ${size} elements with ${memory.bytes} bytes in use, and this process gets no such memory (a smaller batch, or tidy)`,
      );
    }
  };
  const dataOf = (buffer: object): NumberArray => (buffer as CpuBuffer).data; // a backend sees no buffers but its own
  const arrayOf = ({ buffer, base, shape, strides, offset, dtype }: Operand): NdArray => ({
    data: base === 0 ? dataOf(buffer) : dataOf(buffer).subarray(base),
    shape,
    strides,
    offset,
    dtype,
  });

  return {
    name: `cpu: ${precision}`,
    allocate(size, dtype, label) {
      const bytes = size * (dtype === "float32" ? Float.BYTES_PER_ELEMENT : 4);
      const isTooMuch = () => memory.bytes + bytes > budget;
      if (isTooMuch()) freeUnreachable();
      if (isTooMuch()) {
        throw new OutOfMemoryError(
          `${label}: ${bytes} bytes asked for with ${memory.bytes} of ${budget} in use, want at most ${budget - memory.bytes} (a smaller batch, tidy, or a larger budget)`,
        );
      }
      const data = make(size, dtype, label);
      if (poison) data.fill(dtype === "float32" ? Number.NaN : 0x7fffffff);
      memory.buffers++;
      memory.bytes += bytes;
      memory.peakBytes = Math.max(memory.peakBytes, memory.bytes);
      return { data };
    },
    free(buffer) {
      memory.buffers--;
      memory.bytes -= dataOf(buffer).byteLength;
    },
    upload(buffer, _dtype, data) {
      dataOf(buffer).set(data);
    },
    async download(buffer, _dtype, offset, length) {
      const copy = dataOf(buffer).slice(offset, offset + length);
      await turn();
      return copy;
    },
    baseOf: (op, input) => (op.strided ? 0 : isContiguous(input) ? input.offset : null),
    run<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs) {
      if (!op.cpu) throw new Error(`${op.name}: has no cpu rule`);
      op.cpu(outputs.map(arrayOf), inputs.map(arrayOf), attrs);
    },
    settled: turn,
    memory: (): MemoryInfo => ({ ...memory, reservedBytes: memory.bytes }),
    dispose() {},
  };
}
