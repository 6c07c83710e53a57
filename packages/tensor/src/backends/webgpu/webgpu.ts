// The WebGPU backend: queues each op's kernel calls into one command encoder, and reads results back.

import { expectOptions, wrongArgument } from "../../argument.ts";
import type { Backend, MemoryInfo, Operand } from "../../backend.ts";
import type { NumberArray, Op } from "../../op.ts";
import { type DType, isContiguous, type Layout } from "../../shape.ts";
import { counting, type WebgpuCounters } from "./counters.ts";
import { type Device, findAdapter, givenDevice, openDevice, targetOf } from "./device/device.ts";
import { Health } from "./device/health.ts";
import { Watchdog } from "./device/watchdog.ts";
import { BindGroups, type Place } from "./kernels/bindGroups.ts";
import { ChangingParams } from "./kernels/changing.ts";
import { ConstantsStore } from "./kernels/constants.ts";
import { Pipelines } from "./kernels/pipelines.ts";
import { type PreparedCall, PreparedCalls } from "./kernels/prepared.ts";
import { type GpuBuffer, Pool } from "./memory/pool.ts";
import { Stagings } from "./memory/stagings.ts";
import { TIMEOUT, type WebgpuOptions } from "./options.ts";
import { type Player, recordingOf } from "./replay/replay.ts";
import { Scratch } from "./replay/scratch.ts";
import { Tape } from "./replay/tape.ts";
import type { GpuTarget, KernelCall } from "./rule.ts";
import { type Tunable, tunable } from "./tuning/tuner.ts";

/** What this backend tells beyond the others. */
export interface WebgpuBackend extends Backend {
  /** What it has done so far. */
  counters(): WebgpuCounters;
}

/** In elements of four bytes: buffers are bound at multiples of 256 bytes. */
const BINDING_ALIGNMENT = 64;
/** Dispatches in a batch of commands: the device starts on it while the next ones are encoded. */
const BATCH = 256;
const [COPY_SRC, COPY_DST] = [4, 8];
const MODE_READ = 1;

/**
 * The WebGPU backend, on any adapter there is: a GPU's, or a software one for tests (`bestBackend` chooses a GPU only).
 * @throws Error for options out of range, and when there is no WebGPU or no adapter, saying what is missing
 */
export async function webgpu(options: WebgpuOptions = {}): Promise<WebgpuBackend> {
  expectOptions("webgpu", options);
  const { device, profile, tuned = false, precision = "float32", timeout = TIMEOUT, capture = true } = options;
  if (precision !== "float32" && precision !== "mixed")
    throw wrongArgument("webgpu", "precision", precision, "float32 or mixed");
  if (typeof capture !== "boolean") throw wrongArgument("webgpu", "capture", capture, "true or false");
  if (!(timeout > 0)) throw new Error(`webgpu: timeout is ${timeout} s, want a positive number`);
  const found = device ? givenDevice(device) : await requestDevice(options);
  const wanted = targetOf(found, profile, precision === "mixed");
  return tunable(found, wanted, tuned, (target) => new Webgpu(found, target, options));
}

async function requestDevice({ adapter, toggles }: WebgpuOptions): Promise<Device> {
  const found = adapter ?? (await findAdapter(toggles));
  if (typeof found === "string") throw new Error(`webgpu: ${found}`);
  return openDevice(found);
}

class Webgpu implements WebgpuBackend, Tunable {
  readonly name: string;
  readonly record?: Backend["record"];
  private readonly device: GPUDevice;
  private readonly pipelines: Pipelines;
  private readonly prepared: PreparedCalls;
  private readonly pool: Pool;
  private readonly scratch: Scratch;
  private readonly constants: ConstantsStore;
  private readonly bindGroups: BindGroups;
  private readonly counts = counting();
  private readonly stagings: Stagings;
  private readonly watchdog: Watchdog;
  private readonly health: Health;
  private readonly changing: ChangingParams;
  private readonly poison: GPUBuffer | null;
  private tape: Tape | null = null;
  /** Counts how often kernels may have come to be chosen otherwise. */
  private choices = 0;
  private readonly player: Player;
  /** The dispatches that wait in the encoder. */
  private waiting = 0;
  /** Counts the batches of commands handed to the device. */
  private batch = 0;
  private encoder: GPUCommandEncoder | null = null;
  private pass: GPUComputePassEncoder | null = null;
  /** The pass's, at the moment. */
  private pipeline: GPUComputePipeline | null = null;

  constructor(
    { device, description, isSoftware }: Device,
    target: GpuTarget,
    { budget, poison = false, timeout = TIMEOUT, capture = true }: WebgpuOptions,
  ) {
    this.device = device;
    const mixed = `, products in float16${target.matrix ? " by subgroup matrices" : ""}`;
    this.name = `webgpu: ${description}${target.half ? mixed : ""}`;
    this.constants = new ConstantsStore(device, this.counts);
    this.pipelines = new Pipelines(device, this.counts);
    this.prepared = new PreparedCalls(target, this.pipelines, this.constants);
    this.changing = new ChangingParams(device, BATCH);
    this.bindGroups = new BindGroups(device, this.counts);
    this.pool = new Pool(device, budget ?? (isSoftware ? 4 : 64) * 2 ** 30, this.counts, () => {
      this.flush();
      this.scratch.clear();
      this.bindGroups.clear();
    });
    this.scratch = new Scratch(this.pool);
    this.stagings = new Stagings(device, this.counts);
    this.watchdog = new Watchdog(device.queue, this.name, timeout);
    this.health = new Health(device, this.name, this.watchdog);
    this.poison = poison ? this.poisonBuffer() : null;
    this.player = this.playerOf();
    if (capture) this.record = () => this.recorder();
  }

  allocate(size: number, _dtype: DType, label: string): GpuBuffer {
    this.health.check();
    const buffer = this.pool.take(size * 4, label);
    this.tape?.took(buffer);
    if (this.poison) this.fillWithPoison(buffer, this.poison);
    return buffer;
  }

  free(buffer: object): void {
    this.give(buffer as GpuBuffer); // a backend sees no buffers but its own
  }

  upload(buffer: object, dtype: DType, data: ArrayLike<number>): void {
    this.health.check();
    const target = buffer as GpuBuffer; // a backend sees no buffers but its own
    this.tape?.uploaded(target, dtype, data);
    if (data.length > 0) this.writeInOrder(target, dtype, data);
  }

  async download(buffer: object, dtype: DType, offset: number, length: number): Promise<NumberArray> {
    this.health.check();
    if (length === 0) return arrayOf(dtype, []);
    const { gpu } = buffer as GpuBuffer; // a backend sees no buffers but its own
    const staging = this.stagings.take(length * 4);
    this.endPass().copyBufferToBuffer(gpu, offset * 4, staging, 0, length * 4);
    this.flush();
    const mapping = staging.mapAsync(MODE_READ, 0, length * 4);
    try {
      await this.health.survive(mapping, "reading back");
    } catch (error) {
      // Mapped after all, once the device goes on.
      mapping.then(
        () => this.stagings.give(staging),
        () => {},
      );
      throw error;
    }
    const copy = staging.getMappedRange(0, length * 4).slice(0);
    this.stagings.give(staging);
    return dtype === "float32"
      ? new Float32Array(copy)
      : dtype === "int32"
        ? new Int32Array(copy)
        : new Uint32Array(copy);
  }

  baseOf<Attrs>(op: Op<Attrs>, input: Layout, index: number, attrs: Attrs): number | null {
    if (op.webgpu?.takes?.(input, index, attrs)) return 0;
    return isContiguous(input) && input.offset % BINDING_ALIGNMENT === 0 ? input.offset : null;
  }

  run<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs): void {
    this.health.check();
    const { calls, scratch } = this.prepared.get(op, outputs, inputs, attrs);
    const temporaries: Place[] = [];
    try {
      for (const size of scratch) {
        temporaries.push({ buffer: this.allocate(size, "float32", `${op.name} scratch`), base: 0 });
      }
      const places = [...inputs, ...outputs, ...temporaries] as Place[]; // a backend sees no buffers but its own
      const first = this.tape?.dispatches.length ?? 0;
      for (const [k, call] of calls.entries()) this.dispatch(op.name, call, op.perStep?.(attrs, inputs, k), places);
      this.tape?.ran(first);
    } finally {
      for (const { buffer } of temporaries) this.give(buffer);
    }
  }

  forgetCalls(): void {
    this.choices++;
    this.prepared.clear();
  }

  async settled(): Promise<void> {
    this.flush();
    await this.health.survive(this.device.queue.onSubmittedWorkDone(), "waiting for what was queued");
  }

  counters(): WebgpuCounters {
    return { ...this.counts };
  }

  memory(): MemoryInfo {
    const { buffers, bytes, peakBytes, reservedBytes } = this.pool;
    return { buffers, bytes, peakBytes, reservedBytes };
  }

  dispose(): void {
    this.health.lose("the backend is disposed");
    const destroy = () => this.device.destroy();
    // Which waits for what the device is at, for ever if need be.
    if (this.watchdog.isStalled) this.device.queue.onSubmittedWorkDone().then(destroy, destroy);
    else destroy();
  }

  private recorder(): ReturnType<NonNullable<Backend["record"]>> {
    this.scratch.clear();
    const tape = new Tape();
    this.tape = tape;
    return (outputs, inputs) => {
      this.tape = null;
      // A backend sees no buffers but its own.
      return recordingOf(tape, outputs as readonly GpuBuffer[], inputs as readonly GpuBuffer[], this.player);
    };
  }

  private playerOf(): Player {
    return {
      device: this.device,
      scratch: this.scratch,
      counters: this.counts,
      choices: () => this.choices,
      fixedKernelOf: (op, { call }) => this.pipelines.get(op, call, false),
      check: () => this.health.check(),
      callsOf: ({ op, outputs, inputs, attrs }) => {
        if (!op) throw new Error("capture: an upload has no calls");
        return this.prepared.get(op, outputs as readonly Operand[], inputs as readonly Operand[], attrs); // reads no buffers
      },
      write: (buffer, dtype, data) => this.writeInOrder(buffer, dtype, data),
      pass: () => this.openPass(),
      commands: () => this.endPass(),
      submit: (ops) => {
        for (const op of ops) this.watchdog.note(op);
        this.flush();
      },
    };
  }

  private dispatch(op: string, prepared: PreparedCall, given: KernelCall["params"], operands: readonly Place[]): void {
    const { kernel, workgroups, bindings, constants } = prepared;
    if (this.waiting === BATCH) this.flush();
    this.waiting++;
    const offset = kernel.isDynamic ? this.changing.pack(prepared, given) : 0;
    const places = bindings.map((binding) => (typeof binding === "number" ? operands[binding] : binding));
    for (const { buffer } of places) buffer.usedIn = this.batch;
    const params = kernel.isDynamic ? this.changing.place : constants;
    const bindGroup = this.bindGroups.get(op, kernel.bindings, params, places);
    const pass = this.openPass();
    if (kernel.pipeline !== this.pipeline) pass.setPipeline(kernel.pipeline);
    this.pipeline = kernel.pipeline;
    if (kernel.isDynamic) pass.setBindGroup(0, bindGroup, [offset]);
    else pass.setBindGroup(0, bindGroup);
    const [x, y] = workgroups;
    if (y === 1) pass.dispatchWorkgroups(x);
    else pass.dispatchWorkgroups(x, y);
    this.counts.dispatches++;
    this.watchdog.note(op);
    if (!this.tape) return;
    const { length } = prepared.params;
    const packed = kernel.isDynamic ? this.changing.packedAt(offset, length) : prepared.params;
    this.tape.dispatched(op, prepared, packed, places);
  }

  private give(buffer: GpuBuffer): void {
    this.tape?.gave(buffer);
    this.pool.give(buffer);
  }

  private writeInOrder(buffer: GpuBuffer, dtype: DType, data: ArrayLike<number>): void {
    // Commands that still wait in the encoder may read what this buffer held before it was pooled.
    if (buffer.usedIn === this.batch) this.flush();
    this.write(buffer, dtype, data);
  }

  private write({ gpu }: GpuBuffer, dtype: DType, data: ArrayLike<number>): void {
    this.counts.uploads++;
    const bytes = arrayOf(dtype, data);
    this.device.queue.writeBuffer(gpu, 0, bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Hands what is queued to the device. */
  private flush(): void {
    if (!this.encoder) return;
    const encoder = this.endPass();
    this.changing.write();
    this.waiting = 0;
    this.encoder = null;
    this.batch++;
    this.submit(encoder.finish());
  }

  private submit(commands: GPUCommandBuffer): void {
    this.counts.submits++;
    this.constants.write();
    this.device.queue.submit([commands]);
    this.watchdog.handOver();
  }

  private openPass(): GPUComputePassEncoder {
    this.pass ??= this.commands().beginComputePass();
    return this.pass;
  }

  private endPass(): GPUCommandEncoder {
    this.pass?.end();
    this.pass = null;
    this.pipeline = null;
    return this.commands();
  }

  private commands(): GPUCommandEncoder {
    this.encoder ??= this.device.createCommandEncoder();
    return this.encoder;
  }

  private poisonBuffer(): GPUBuffer {
    const size = 2 ** 20;
    const buffer = this.device.createBuffer({ label: "poison", size, usage: COPY_SRC | COPY_DST });
    this.device.queue.writeBuffer(buffer, 0, new Uint32Array(size / 4).fill(0x7fc0dead));
    return buffer;
  }

  private fillWithPoison(buffer: GpuBuffer, poison: GPUBuffer): void {
    const { gpu, capacity } = buffer;
    buffer.usedIn = this.batch;
    const encoder = this.endPass();
    for (let at = 0; at < capacity; at += poison.size) {
      encoder.copyBufferToBuffer(poison, 0, gpu, at, Math.min(poison.size, capacity - at));
    }
  }
}

/** Elements as the device stores them. */
function arrayOf(
  dtype: DType,
  data: ArrayLike<number>,
): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  if (dtype === "float32") return new Float32Array(data);
  return dtype === "int32" ? new Int32Array(data) : new Uint32Array(data);
}
