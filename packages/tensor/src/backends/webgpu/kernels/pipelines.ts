// Compiled kernels: one pipeline per specialised text, with bind group layouts shared by all kernels of one signature.

import type { Counting } from "../counters.ts";
import { type KernelCall, workgroupSize } from "../rule.ts";
import { type ParamsLayout, paramsLayout } from "./params.ts";
import { specialise } from "./specialise.ts";

/** What kernels that may share bind groups have in common: signature and bytes of parameters. */
export interface Bindings {
  /** Distinct for each of a backend. */
  readonly id: number;
  readonly layout: GPUBindGroupLayout;
  /** 0 where the kernel has no parameters. */
  readonly paramsBytes: number;
}

/** A compiled kernel and how its bindings look. */
export interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly bindings: Bindings;
  readonly params: ParamsLayout | null;
  /** Whether its parameters are bound with an offset of the dispatch's own, since they change from dispatch to dispatch. */
  readonly isDynamic: boolean;
  /** Null where the WGSL does not tell it as a number. */
  readonly workgroup: number | null;
}

const COMPUTE_STAGE = 4;

/** Compiles kernels on first use and keeps them. */
export class Pipelines {
  /** By names and values of the constants, source and library. */
  private readonly kernels = new Map<string, Kernel>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  private readonly bindings = new Map<string, Bindings>();
  private readonly device: GPUDevice;
  private readonly counters: Counting;

  constructor(device: GPUDevice, counters: Counting) {
    this.device = device;
    this.counters = counters;
  }

  /**
   * The variant of a kernel with these constants.
   * @param isChanging whether its parameters change from dispatch to dispatch
   * @throws Error for constants or parameters that the kernel does not declare
   */
  get(label: string, { kernel: source, constants = {}, library = "" }: KernelCall, isChanging: boolean): Kernel {
    const key = `${isChanging}${JSON.stringify(constants)}${source}${library}`;
    const kernel = this.kernels.get(key) ?? this.compile(label, specialise(source, constants, library), isChanging);
    this.kernels.set(key, kernel);
    return kernel;
  }

  private compile(label: string, code: string, isChanging: boolean): Kernel {
    this.counters.pipelines++;
    const params = paramsLayout(code);
    const signature = signatureOf(code);
    const isDynamic = isChanging && params !== null;
    const bindings = this.bindingsOf(isDynamic ? signature.replace("p", "d") : signature, params?.bytes ?? 0);
    const pipeline = this.device.createComputePipeline({
      label,
      layout: this.device.createPipelineLayout({ label, bindGroupLayouts: [bindings.layout] }),
      compute: { module: this.device.createShaderModule({ label, code }) },
    });
    return { pipeline, bindings, params, isDynamic, workgroup: workgroupSize(code) };
  }

  private bindingsOf(signature: string, paramsBytes: number): Bindings {
    const key = `${signature}${paramsBytes}`;
    const bindings = this.bindings.get(key) ?? {
      id: this.bindings.size,
      layout: this.layout(signature),
      paramsBytes,
    };
    this.bindings.set(key, bindings);
    return bindings;
  }

  private layout(signature: string): GPUBindGroupLayout {
    let layout = this.layouts.get(signature);
    if (!layout) {
      const entries = [...signature].map((letter, at): GPUBindGroupLayoutEntry => {
        const first = /^[pd]/.test(signature) ? 0 : 1;
        const buffer: GPUBufferBindingLayout =
          letter === "p" || letter === "d"
            ? { type: "uniform", hasDynamicOffset: letter === "d" }
            : { type: letter === "r" ? "read-only-storage" : "storage" };
        return { binding: at + first, visibility: COMPUTE_STAGE, buffer };
      });
      layout = this.device.createBindGroupLayout({ label: signature, entries });
      this.layouts.set(signature, layout);
    }
    return layout;
  }
}

/**
 * Reads a kernel's bindings: "prw" stands for parameters at 0, and storage buffers that are read and written at 1, 2, ….
 * @throws Error for bindings that are not so
 */
function signatureOf(code: string): string {
  const found = [...code.matchAll(/@group\(0\) @binding\((\d+)\) var<(uniform|storage, read|storage, read_write)>/g)];
  const letters = found.map(([, , kind]) => (kind === "uniform" ? "p" : kind === "storage, read" ? "r" : "w"));
  const first = letters[0] === "p" ? 0 : 1;
  if (found.length === 0 || found.some(([, binding], at) => Number(binding) !== at + first)) {
    throw new Error(
      `pipelines: bindings of "${code.split("\n", 1)[0]}" are not params at 0 and storage at 1, 2, … in order`,
    );
  }
  return letters.join("");
}
