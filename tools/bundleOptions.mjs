// How esbuild reads this repository's TypeScript for Node, shared by run.mjs and bundle.mjs.
import { esbuildWasmKernels } from "./wasmKernels.mjs";

/** @satisfies {import("esbuild").BuildOptions} */
export const bundleOptions = {
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  conditions: ["x-source"],
  loader: { ".wgsl": "text" },
  plugins: [esbuildWasmKernels],
  sourcemap: "inline",
  sourcesContent: false,
};
