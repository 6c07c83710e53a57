// Compiled kernels: one pipeline per specialised text, with bind group layouts shared by all kernels of one signature.

import type { KernelCall } from "../../op.ts";
import { type ParamsLayout, paramsLayout } from "./params.ts";
import { specialise } from "./specialise.ts";

/** A compiled kernel and how its bindings look. */
export interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** "prw": parameters, then one letter a storage binding; equal signatures share bind groups. */
  readonly signature: string;
  readonly params: ParamsLayout | null;
}

const COMPUTE_STAGE = 4;

/** Compiles kernels on first use and keeps them. */
export class Pipelines {
  /** By source, library and constants. */
  private readonly kernels = new Map<string, Map<string, Map<string, Kernel>>>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  private readonly device: GPUDevice;

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /** The variant of a kernel with these constants. @throws Error for constants or parameters that the kernel does not declare */
  get(label: string, { kernel: source, constants = {}, library = "" }: KernelCall): Kernel {
    const ofSource = this.kernels.get(source) ?? new Map<string, Map<string, Kernel>>();
    this.kernels.set(source, ofSource);
    const variants = ofSource.get(library) ?? new Map<string, Kernel>();
    ofSource.set(library, variants);
    let key = "";
    for (const name in constants) key += `${name}=${constants[name]};`;
    const known = variants.get(key);
    if (known) return known;
    const compiled = this.compile(label, specialise(source, constants) + library);
    variants.set(key, compiled);
    return compiled;
  }

  private compile(label: string, code: string): Kernel {
    const signature = signatureOf(code);
    const layout = this.layout(signature);
    const pipeline = this.device.createComputePipeline({
      label,
      layout: this.device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
      compute: { module: this.device.createShaderModule({ label, code }) },
    });
    return { pipeline, layout, signature, params: paramsLayout(code) };
  }

  private layout(signature: string): GPUBindGroupLayout {
    let layout = this.layouts.get(signature);
    if (!layout) {
      const entries = [...signature].map((letter, at): GPUBindGroupLayoutEntry => {
        const first = signature.startsWith("p") ? 0 : 1;
        const buffer: GPUBufferBindingLayout =
          letter === "p"
            ? { type: "uniform", hasDynamicOffset: true }
            : { type: letter === "r" ? "read-only-storage" : "storage" };
        return { binding: at + first, visibility: COMPUTE_STAGE, buffer };
      });
      layout = this.device.createBindGroupLayout({ label: signature, entries });
      this.layouts.set(signature, layout);
    }
    return layout;
  }
}

/** Reads a kernel's bindings: 0 are its parameters, if any, and 1, 2, … its storage buffers. @throws Error otherwise */
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
