// WebGPU's types by way of the program's own: our declarations name no global type that a program may lack.

/** GPUDevice where the program's types have it (TypeScript's own from 6.0 on, or @webgpu/types), else any object. */
export type PlatformDevice = typeof globalThis extends { GPUDevice: { prototype: infer Device } } ? Device : object;

/** GPUAdapter likewise. */
export type PlatformAdapter = typeof globalThis extends { GPUAdapter: { prototype: infer Adapter } } ? Adapter : object;
