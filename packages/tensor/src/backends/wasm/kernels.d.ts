// What tools/wasmKernels.mjs makes of kernels/*.as, imported as "#kernels": base64 of gzipped binaries.

/** SIMD with a product and a sum for each multiply-add: the same bits everywhere. */
export const simd: string;
/** Relaxed SIMD with fused multiply-add where the processor has it. */
export const relaxed: string;
