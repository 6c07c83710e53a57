// What tools/wasmKernels.mjs makes of kernels/*.as, imported as "#kernels": base64 of gzipped binaries, and what their functions take.

/** SIMD with a product and a sum for each multiply-add: the same bits everywhere. */
export const simd: string;
/** Relaxed SIMD with fused multiply-add where the processor has it. */
export const relaxed: string;
/** For each kernel the names of its parameters after `begin` and `end`, in their order. */
export const parameters: Readonly<Record<string, readonly string[]>>;
