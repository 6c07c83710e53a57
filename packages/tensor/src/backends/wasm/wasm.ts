// The WebAssembly backend: SIMD kernels on all cores, for machines without a GPU. Ops run at once; those without a `wasm` rule on the host.

import { expectOptions } from "../../argument.ts";
import type { Backend, MemoryInfo, Operand } from "../../backend.ts";
import { nodeProcess } from "../../host/host.ts";
import { turn } from "../../host/turn.ts";
import type { NdArray, NumberArray, Op, Temporary, View } from "../../op.ts";
import { type DType, isContiguous, type Layout } from "../../shape.ts";
import { type Kernels, loadKernels } from "./binary.ts";
import { type Block, Heap } from "./heap.ts";
import { inOrder } from "./parameters.ts";
import type { WasmCall } from "./rule.ts";
import { Threads } from "./threads.ts";
import { processors, startWorkers } from "./workers.ts";

/** Options of the `wasm` backend. */
export interface WasmOptions {
  /**
   * Threads that compute, this one included. Default: one per processor, at most 16. Where memory cannot be shared there is 1, and those
   * whose worker cannot be started are left out: the backend's name says why.
   */
  readonly threads?: number;
  /** The bytes that tensors may take, at most 4 GiB. By default all that WebAssembly can address: 4 GiB, less a MiB a thread. */
  readonly budget?: number;
  /** The same bits on every machine: products and sums are rounded each, which costs up to half of the speed. Default false. */
  readonly deterministic?: boolean;
  /** Fills new buffers with NaN, so that an element that a kernel forgot shows. Default false. */
  readonly poison?: boolean;
}

/** What this backend tells beyond the others. */
export interface WasmBackend extends Backend {
  /** Runs of ops that had no kernel for their operands and took the reference rule, by the op's name. */
  fallbacks(): ReadonlyMap<string, number>;
}

const PAGE = 65536;
const ADDRESSABLE = 2 ** 32;
/** The first page holds the threads' control words and, from here on, tables that kernels read; the second is left zero. */
const TABLES = 4096;
const RESERVED = 2 * PAGE;
const SCRATCH = 2 ** 20;
/** Products are cut into about as many blocks. */
const MAX_THREADS = 16;
/** 4 GiB, or less where an engine or its host reserves no such address space. */
const MAX_PAGES = [65536, 32768, 16384, 4096];

/**
 * The WebAssembly backend. Results do not depend on the number of threads.
 * @throws Error where WebAssembly SIMD is missing, and for options out of range
 */
export async function wasm(options: WasmOptions = {}): Promise<WasmBackend> {
  expectOptions("wasm", options);
  const { threads = Math.min(processors(), MAX_THREADS), budget = ADDRESSABLE, deterministic = false } = options;
  if (!(Number.isInteger(threads) && threads >= 1)) throw new Error(`wasm: threads is ${threads}, want an integer ≥ 1`);
  if (!(budget > 0 && budget <= ADDRESSABLE)) {
    throw new Error(
      `wasm: budget is ${budget} bytes, want a positive number of at most ${ADDRESSABLE}: WebAssembly addresses 4 GiB`,
    );
  }
  const obstacle = threads > 1 ? obstacleToSharing() : "";
  const shared = threads > 1 && obstacle === "";
  const kernels = await loadKernels({ fused: !deterministic, shared });
  const scratch = Array.from({ length: shared ? threads : 1 }, (_, k) => RESERVED + k * SCRATCH);
  const start = RESERVED + scratch.length * SCRATCH;
  const { memory, maximum } = newMemory(start / PAGE, shared);
  const placement = { module: kernels.module, memory, scratch };
  const { workers, failure } = await startWorkers(placement);
  const heap = new Heap(memory, start, budget, maximum * PAGE - start - PAGE);
  return new Wasm(kernels, memory, heap, new Threads(placement, workers), options, obstacle || failure);
}

/** The largest memory that can be had. @throws RangeError where none can */
function newMemory(initial: number, shared: boolean): { memory: WebAssembly.Memory; maximum: number } {
  for (const maximum of MAX_PAGES.slice(0, -1)) {
    try {
      return { memory: new WebAssembly.Memory({ initial, maximum, shared }), maximum };
    } catch {}
  }
  const [maximum] = MAX_PAGES.slice(-1);
  return { memory: new WebAssembly.Memory({ initial, maximum, shared }), maximum };
}

/** Why memory cannot be shared with workers, as browsers allow pages that are cross-origin isolated only; "" where it can. */
function obstacleToSharing(): string {
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean }; // Node has none
  if (crossOriginIsolated === false && !nodeProcess()) {
    return "the page is not cross-origin isolated, want the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
  }
  return typeof SharedArrayBuffer === "undefined" ? "there is no SharedArrayBuffer" : "";
}

class Wasm implements WasmBackend {
  readonly name: string;
  private readonly memoryObject: WebAssembly.Memory;
  private readonly heap: Heap;
  private readonly threads: Threads;
  private readonly poison: boolean;
  private readonly missing = new Map<string, number>();

  constructor(
    { fused }: Kernels,
    memory: WebAssembly.Memory,
    heap: Heap,
    threads: Threads,
    { poison = false }: WasmOptions,
    obstacle: string,
  ) {
    const { count } = threads;
    const why = obstacle && ` (no more: ${obstacle})`;
    this.name = `wasm: ${count} thread${count > 1 ? "s" : ""}, simd${fused ? " + fma" : ""}${why}`;
    this.memoryObject = memory;
    this.heap = heap;
    this.threads = threads;
    this.poison = poison;
  }

  allocate(size: number, _dtype: DType, label: string): Block {
    const block = this.heap.take(size * 4, label);
    if (this.poison) new Int32Array(this.memoryObject.buffer, block.address, block.capacity / 4).fill(0x7fc0dead);
    return block;
  }

  free(buffer: object): void {
    this.heap.give(buffer as Block); // a backend sees no buffers but its own
  }

  upload(buffer: object, dtype: DType, data: ArrayLike<number>): void {
    this.view(buffer as Block, dtype).set(data); // a backend sees no buffers but its own
  }

  async download(buffer: object, dtype: DType, offset: number, length: number): Promise<NumberArray> {
    const elements = this.view(buffer as Block, dtype).subarray(offset, offset + length); // a backend sees no buffers but its own
    // A copy outside of the shared memory.
    const copy =
      dtype === "float32"
        ? new Float32Array(elements)
        : dtype === "int32"
          ? new Int32Array(elements)
          : new Uint32Array(elements);
    await turn();
    return copy;
  }

  baseOf<Attrs>(op: Op<Attrs>, input: Layout, index: number, attrs: Attrs): number | null {
    if (op.wasm ? op.wasm.takes?.(input, index, attrs) : op.strided) return 0;
    return isContiguous(input) ? input.offset : null;
  }

  run<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs): void {
    const temporaries: Block[] = [];
    const temporary = (size: number): Temporary => {
      temporaries.push(this.allocate(size, "float32", `${op.name} scratch`));
      return { temporary: temporaries.length - 1, size };
    };
    try {
      const calls = op.wasm?.calls({ inputs, outputs, attrs, temporary });
      if (calls) for (const call of calls) this.dispatch(call, temporaries);
      else this.fallBack(op, outputs, inputs, attrs);
    } finally {
      for (const block of temporaries) this.heap.give(block);
    }
  }

  settled = turn;

  memory(): MemoryInfo {
    const { buffers, bytes, peakBytes, reservedBytes } = this.heap;
    return { buffers, bytes, peakBytes, reservedBytes };
  }

  fallbacks(): ReadonlyMap<string, number> {
    return new Map(this.missing);
  }

  dispose(): void {
    this.threads.dispose();
  }

  private dispatch({ kernel, rows, grain, args }: WasmCall, temporaries: readonly Block[]): void {
    let end = TABLES;
    const numbers = inOrder(kernel, args).map((arg) => {
      if (typeof arg === "number") return arg;
      if (Array.isArray(arg)) {
        const address = end;
        end += 4 * arg.length;
        if (end > PAGE)
          throw new Error(`wasm: tables of ${end - TABLES} bytes for ${kernel}, want at most ${PAGE - TABLES}`);
        new Int32Array(this.memoryObject.buffer, address, arg.length).set(arg);
        return address;
      }
      return addressOf(arg as View | Temporary, temporaries); // Array.isArray keeps no readonly array apart
    });
    if (rows > 0) this.threads.run({ kernel, rows, grain, args: numbers });
  }

  private fallBack<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs): void {
    if (!op.cpu) throw new Error(`${op.name}: has no cpu rule`);
    this.missing.set(op.name, (this.missing.get(op.name) ?? 0) + 1);
    const arrayOf = ({ buffer, base, shape, strides, offset, dtype }: Operand): NdArray => ({
      data: this.view(buffer as Block, dtype).subarray(base), // a backend sees no buffers but its own
      shape,
      strides,
      offset,
      dtype,
    });
    op.cpu(outputs.map(arrayOf), inputs.map(arrayOf), attrs);
  }

  /** A block's elements; made anew each time, since the memory's buffer changes when it grows. */
  private view({ address, bytes }: Block, dtype: DType): NumberArray {
    const { buffer } = this.memoryObject;
    if (dtype === "float32") return new Float32Array(buffer, address, bytes / 4);
    return dtype === "int32" ? new Int32Array(buffer, address, bytes / 4) : new Uint32Array(buffer, address, bytes / 4);
  }
}

/** The address of an operand's first element. */
function addressOf(arg: View | Temporary, temporaries: readonly Block[]): number {
  if ("temporary" in arg) return temporaries[arg.temporary].address;
  const { buffer, base, offset } = arg as Operand; // views are the operands that `run` was given
  return (buffer as Block).address + 4 * (base + offset);
}
