// `pnpm gpu`: measures a machine with a GPU in at most eight minutes. Each step has a limit of its own and leaves files, so that what
// was measured stays when a later step fails.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { answer, type Command, type FlagTable, type FlagValues, InputError, runAsProgram } from "@pkg/command";

/** The programs that the steps run, by the name of their bundle. */
const PROGRAMS = {
  adapter: "test/adapter/main.ts",
  numerics: "test/numerics.ts",
  bench: "bench/main.ts",
  peers: "bench/peers.ts",
  commands: "packages/cli/src/main.ts",
  gpu: "bench/gpuSession.ts",
};

interface Step {
  readonly name: string;
  /** The limit. */
  readonly seconds: number;
  readonly program: keyof typeof PROGRAMS;
  readonly args: readonly string[];
}

const FLAGS = {
  out: { help: "the directory to write into", default: "out/gpu" },
  only: { help: "the steps to run, separated by commas; by default all" },
  pack: { help: "only bundle the programs into --out, for a machine that has Node and Dawn alone", isSwitch: true },
  bundles: { help: "the directory of such bundles, to be run instead of the sources" },
  peers: { help: "where the programs of PyTorch are", default: "bench/peers" },
  references: { help: "what bench:peers --references wrote, so that the GPU does not wait for the reference" },
} as const satisfies FlagTable;

export const gpuSession: Command<keyof typeof FLAGS> = {
  name: "gpu",
  about:
    "Measures a machine with a GPU in at most eight minutes: what the adapter does, numerics, networks, PyTorch, kernels, a picture, tuned tilings.",
  flags: FLAGS,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(gpuSession, words));

async function main(flags: FlagValues<keyof typeof FLAGS>): Promise<number> {
  const out = resolve(flags.word("out"));
  const steps = stepsInto(out, flags);
  const names = steps.map(({ name }) => name);
  const wanted = flags.given("only")?.split(",") ?? names;
  const unknown = wanted.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new InputError(`--only ${unknown}: want some of ${names.join(", ")}`);
  mkdirSync(out, { recursive: true });
  const bundles = flags.given("bundles") ?? (await bundleAll(join(out, "bundles")));
  if (flags.isOn("pack")) {
    process.stdout.write(`${bundles}\n`);
    return 0;
  }
  const summary: { name: string; seconds: number; limit: number; exit: number | string | null }[] = [];
  for (const { name, seconds: limit, program, args } of steps.filter(({ name }) => wanted.includes(name))) {
    process.stdout.write(`\n=== ${name} (at most ${limit} s)\n`);
    const began = performance.now();
    const exit = await run(join(bundles, `${program}.mjs`), args, limit, join(out, `${name}.log`));
    summary.push({ name, seconds: Math.round((performance.now() - began) / 1000), limit, exit });
    writeFileSync(join(out, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
  }
  for (const { name, seconds, limit, exit } of summary) {
    process.stdout.write(`${name.padEnd(10)}${seconds} s of ${limit}, exit ${exit}\n`);
  }
  return summary.some(({ exit }) => exit !== 0) ? 1 : 0;
}

function stepsInto(out: string, flags: FlagValues<keyof typeof FLAGS>): readonly Step[] {
  const to = (name: string) => join(out, name);
  // Products in float16 run on the matrix units of NVIDIA's GPUs behind these toggles of Dawn.
  const units = ["--toggles", "disable_workgroup_init,allow_unsafe_apis,vulkan_enable_f16_on_nvidia"];
  const ways = ["--backend", "webgpu", "--backend", "webgpu-mixed", ...units, "--quick"];
  const references = flags.given("references");
  const torch = ["--without", "wasm", "--peer", "torch", "--folder", flags.word("peers"), "--quick"];
  if (references) torch.push("--references", references);
  const picture = ["sample", "--checkpoint", "docs/mnist.safetensors", "--backend", "webgpu", "--out", to("picture")];
  const tuned = ["--backend", "webgpu-tuned", "--quick", "--filter", "MNIST U-Net", "--json", to("tuned.json")];
  return [
    { name: "adapter", seconds: 20, program: "adapter", args: ["--json", to("adapter.json")] },
    { name: "numerics", seconds: 60, program: "numerics", args: ["--node-only", "--json", to("numerics.json")] },
    {
      name: "networks",
      seconds: 80,
      program: "bench",
      args: [...ways, "--filter", "U-Net", "--json", to("networks.json")],
    },
    { name: "torch", seconds: 90, program: "peers", args: [...torch, "--filter", "U-Net", "--json", to("torch.json")] },
    { name: "kernels", seconds: 110, program: "bench", args: [...ways, "--json", to("kernels.json")] },
    { name: "picture", seconds: 20, program: "commands", args: picture },
    { name: "tuned", seconds: 100, program: "bench", args: tuned },
  ];
}

/** Runs one program and ends it after its limit in seconds. @returns its exit code, or what ended it */
function run(program: string, args: readonly string[], limit: number, log: string): Promise<number | string | null> {
  return new Promise((settle) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const printed: Buffer[] = [];
    const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * limit);
    child.stdout.on("data", (data) => printed.push(data) && process.stdout.write(data));
    child.stderr.on("data", (data) => printed.push(data) && process.stderr.write(data));
    child.on("error", (error) => settle(error.message));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      writeFileSync(log, Buffer.concat(printed));
      settle(signal ? `${signal}, after its limit` : code);
    });
  });
}

async function bundleAll(folder: string): Promise<string> {
  const { bundle } = await import("../tools/bundle.mjs");
  for (const [name, entry] of Object.entries(PROGRAMS)) await bundle(entry, join(folder, `${name}.mjs`));
  return folder;
}
