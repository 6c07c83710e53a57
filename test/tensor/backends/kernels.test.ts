// Every kernel file as it stands: it begins with its formula, keeps the order of sections, and compiles without a message; so does
// every variant of it that an op's cases ask for.
import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { create } from "webgpu";
import { dispatchSize } from "../../../packages/tensor/src/backends/webgpu/kernels/grid.ts";
import { specialise } from "../../../packages/tensor/src/backends/webgpu/kernels/specialise.ts";
import { workgroupSize } from "../../../packages/tensor/src/backends/webgpu/rule.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { allOps } from "../ops/checkCase.ts";
import { kernelCalls } from "../ops/derived.ts";

const folder = new URL("../../../kernels/", import.meta.url);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".wgsl"))
  .map((file) => ({ file, code: readFileSync(new URL(file, folder), "utf8") }));
const isKernel = ({ code }: { code: string }) => code.includes("@compute");
const kernels = files.filter(isKernel);
const libraries = files.filter((file) => !isKernel(file));

/** Each text that the ops' cases compile, once, by the name of the first op that does. */
const variants = new Map<string, string>();
/** Calls that ask for threads: of which op, their workgroup size, and whether they set it. */
const threaded: { name: string; size: number | null; sets: boolean }[] = [];
for (const op of allOps) {
  for (const given of op.cases) {
    for (const profile of ["direct", "tiled"] as const) {
      for (const layout of ["rows", "transposed"] as const) {
        for (const { kernel, constants = {}, library = "", grid } of kernelCalls(op, given, profile, layout)) {
          const code = specialise(kernel, constants, library);
          if ("threads" in grid) {
            threaded.push({ name: op.name, size: workgroupSize(code), sets: "WORKGROUP" in constants });
          }
          if (!variants.has(code)) variants.set(code, `${op.name}, ${profile}`);
        }
      }
    }
  }
}

/** What a line at the left margin begins, in the order in which a file has to have them. */
const SECTIONS: readonly (readonly [name: string, line: RegExp])[] = [
  ["formula", /^\/\/ \S/],
  ["directives", /^(enable|requires|diagnostic)\b/],
  ["parameters", /^(const|alias) |^(fn \w+\(|struct ).*\{.*\}( \/\/ .*)?$/],
  ["Params", /^struct Params \{$/],
  ["bindings", /^@group\(0\) @binding\(\d+\) /],
  ["memory", /^var<(workgroup|private)> /],
  ["helpers", /^(fn|struct) .*\{?$|^@must_use/],
  ["main", /^@compute /],
];

/** What kernels may enable. */
const FEATURES = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"];

// Dawn aborts the process when one of these is collected while something made from it is alive.
const instances: GPU[] = [];

describe("the size of a workgroup", () => {
  test("stands in the WGSL alone wherever a call asks for threads", () => {
    expect(threaded.length).toBeGreaterThan(500);
    expect(threaded.filter(({ size, sets }) => size === null || sets)).toEqual([]);
  });

  test("is read from a number or from the const that is one", () => {
    expect(workgroupSize("@compute @workgroup_size(1)\nfn main() {}")).toBe(1);
    expect(workgroupSize("const SIZE = 48u; // three warps\n@compute @workgroup_size(SIZE)\nfn main() {}")).toBe(48);
    expect(workgroupSize("const SIZE = 2u * 48u;\n@compute @workgroup_size(SIZE)\nfn main() {}")).toBe(null);
  });

  test("covers the threads, in two axes beyond 65,535 workgroups", () => {
    expect(dispatchSize("op", { threads: 129 }, 64)).toEqual([3, 1]);
    expect(dispatchSize("op", { threads: 0 }, 64)).toEqual([1, 1]);
    expect(dispatchSize("op", { threads: 64 * 65536 }, 64)).toEqual([32768, 2]);
    expect(dispatchSize("op", { workgroups: 7 }, null)).toEqual([7, 1]);
    expect(() => dispatchSize("op", { threads: 7 }, null)).toThrow(
      "op: a grid of 7 threads for a kernel whose @workgroup_size is no number, want a grid of workgroups",
    );
  });
});

test("less than a tenth of all lines stand in runs of six that another file has, too", () => {
  const RUN = 6;
  const texts = files.map(({ code }) => code.trimEnd().split("\n"));
  const holders = new Map<string, Set<number>>();
  const runs = (lines: readonly string[]) => lines.slice(RUN - 1).map((_, k) => lines.slice(k, k + RUN).join("\n"));
  for (const [file, lines] of texts.entries()) {
    for (const run of runs(lines)) holders.set(run, (holders.get(run) ?? new Set()).add(file));
  }
  let repeated = 0;
  for (const lines of texts) {
    const marked = new Set<number>();
    for (const [k, run] of runs(lines).entries()) {
      if ((holders.get(run)?.size ?? 0) > 1) for (let at = k; at < k + RUN; at++) marked.add(at);
    }
    repeated += marked.size;
  }
  expect(repeated / texts.flat().length).toBeLessThan(0.1);
});

test("a folder per family has at most 16 kernels", () => {
  const families = files.map(({ file }) => file.split("/").slice(0, -1).join("/"));
  for (const family of new Set(families)) {
    expect(family).toMatch(/^[a-z]+$/);
    expect(families.filter((one) => one === family).length, family).toBeLessThanOrEqual(16);
  }
});

describe.each(kernels)("$file", ({ code }) => {
  const lines = code.split("\n");

  test("begins with its formula and keeps the order of sections", () => {
    expect(lines[0]).toMatch(/^\/\/ .*[=→]/);
    const found: string[] = [];
    for (const line of lines) {
      const section = SECTIONS.findIndex(([, pattern]) => pattern.test(line));
      if (section >= 0) found.push(`${section} ${SECTIONS[section][0]}`);
      // What follows the entry point's attribute is the entry point.
      if (SECTIONS[section]?.[0] === "main") break;
    }
    // A comment between declarations is about the next of them.
    const ordered = found.filter((section, i) => i === 0 || section !== "0 formula");
    expect(ordered).toEqual([...ordered].sort());
    expect(ordered.at(-1)).toBe(`${SECTIONS.length - 1} main`);
    expect(code.match(/^@compute /gm)).toHaveLength(1);
  });

  test("binds its inputs for reading, and what it writes after them", () => {
    const access = [...code.matchAll(/^@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)>/gm)];
    expect(access.map(([, binding]) => Number(binding))).toEqual(access.map((_, k) => k + 1));
    expect(access.map(([, , kind]) => kind).join(" ")).toMatch(/^(read )*read_write( read_write)*$/);
  });
});

test.each(libraries)("$file begins with its formula, has functions, and binds nothing", ({ code }) => {
  expect(code).toMatch(/^\/\/ .*=/);
  expect(code).toMatch(/^fn \w+\(.*\) (-> [\w<>]+ )?\{$/m);
  const others = code.match(/^(?!\/\/|\/\*\*| \*|\}$|(?:fn|const|alias|struct) \w|var<workgroup>)\S.*$/gm);
  expect(others).toBe(null);
});

const devices = [
  { name: "the adapter of the tests", options: [], skip: !gpuAvailable },
  // It checks as strictly as any other and offers every feature, but runs nothing.
  { name: "Dawn's null backend", options: ["backend=null", "enable-dawn-features=allow_unsafe_apis"], skip: false },
];

for (const { name, options, skip } of devices) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let device: GPUDevice;
    beforeAll(async () => {
      const gpu = create([...options]);
      instances.push(gpu);
      const adapter = await gpu.requestAdapter();
      if (!adapter) throw new Error(`no adapter for ${options.join(" ")}`);
      const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize, maxComputeWorkgroupSizeX } =
        adapter.limits;
      device = await adapter.requestDevice({
        requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[], // names newer than the types
        requiredLimits: { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize, maxComputeWorkgroupSizeX },
      });
    });

    const compiled = async (code: string): Promise<GPUShaderModule> => {
      const module = device.createShaderModule({ code });
      const { messages } = await module.getCompilationInfo();
      expect(messages.map(({ type, lineNum, message }) => `${type} in line ${lineNum}: ${message}`)).toEqual([]);
      return module;
    };

    test.each(libraries)("$file compiles without a message", async ({ code }) => {
      await compiled(code);
    });

    test.each(kernels)("$file compiles without a message", async ({ code }) => {
      if (code.includes("\nenable ") && !FEATURES.every((name) => device.features.has(name))) {
        // The null backend has them all.
        expect(options).toEqual([]);
        return;
      }
      await device.createComputePipelineAsync({ layout: "auto", compute: { module: await compiled(code) } });
    });

    // Elsewhere the tests of the ops compile them, as they need them.
    const everyVariant = async () => {
      expect(variants.size).toBeGreaterThan(100);
      for (const [code, name] of variants) {
        const module = await compiled(code);
        await expect(
          device.createComputePipelineAsync({ layout: "auto", compute: { module } }),
          name,
        ).resolves.toBeDefined();
      }
    };
    if (options.length > 0) test("every variant that an op asks for compiles without a message", everyVariant);
  });
}
