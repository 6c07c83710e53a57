// Says whether this worker has a WebGPU adapter; tests that need one start with `describe.skipIf(!gpuAvailable)`.
import { create } from "webgpu";

// Dawn aborts the process when this object is collected while something made from it is alive.
const gpu = create([]);

/** True when there is a WebGPU adapter. Without one the import fails under CI, and elsewhere a message says what is not run. */
export const gpuAvailable: boolean = (await gpu.requestAdapter()) !== null;

if (!gpuAvailable) {
  const adapter = process.env.TWEEDIE_ADAPTER ?? "swiftshader";
  const message = `no WebGPU adapter (TWEEDIE_ADAPTER=${adapter}, ${process.platform}-${process.arch})`;
  if (process.env.CI === "true") {
    throw new Error(message);
  }
  process.stderr.write(`\n*** GPU tests are NOT run: ${message} ***\n\n`);
}
