// Builds the published packages afresh, so that no file of an earlier build is left in dist/.
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import "../kernels/build.mjs";
import { wasmKernels } from "./wasmKernels.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
for (const name of ["tensor", "nn", "diffusion"]) {
  rmSync(`${root}/packages/${name}/dist`, { recursive: true, force: true });
}
const { status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "--build", "packages/diffusion"], {
  cwd: root,
  stdio: "inherit",
});
writeFileSync(`${root}/packages/tensor/dist/backends/wasm/kernels.js`, await wasmKernels());
process.exitCode = status ?? 1;
