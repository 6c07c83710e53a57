// How the tests run: on the packages' sources, in two worker processes that find a software GPU where there is no other.
import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";
import { viteWasmKernels } from "./tools/wasmKernels.mjs";

const conditions = ["x-source", ...defaultServerConditions];

export default defineConfig(({ mode }) => ({
  plugins: [
    viteWasmKernels,
    {
      name: "wgsl",
      transform: (code, id) => (id.endsWith(".wgsl") ? `export default ${JSON.stringify(code)};` : undefined),
    },
  ],
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/setup/adapter.ts",
    setupFiles: "test/setup/garbage.ts",
    // `pnpm test:full` also runs what takes longest.
    env: mode === "full" ? { TWEEDIE_FULL: "1" } : {},
    // Processes, so that a crash in native code ends one worker and not the run; each keeps its device from file to file.
    pool: "forks",
    isolate: false,
    maxWorkers: 2,
    // SwiftShader takes seconds to compile a large kernel.
    testTimeout: mode === "full" ? 3_600_000 : 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
  },
}));
