// `pnpm gpu [--out DIR] [--only NAME,…]` measures a machine with a GPU in at most eight minutes: what the adapter does, numerics,
// networks and kernels, PyTorch on the same machine, a picture, tuned tilings. Each step has a limit of its own and leaves files, so
// that what was measured stays when a later step fails. `--pack` only bundles its programs, for a machine without node_modules:
// there `node gpuSession.mjs --bundles DIR` does the rest.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

/** The programs that the steps run, by the name of their bundle. @type {Readonly<Record<string, string>>} */
const PROGRAMS = {
  adapter: "test/adapter/main.ts",
  numerics: "test/numerics.ts",
  bench: "bench/main.ts",
  peers: "bench/peers.ts",
  commands: "packages/cli/src/main.ts",
};

const { values: flags } = parseArgs({
  options: {
    bundles: { type: "string" },
    pack: { type: "boolean", default: false },
    out: { type: "string", default: "out/gpu" },
    peers: { type: "string", default: "bench/peers" },
    references: { type: "string" },
    only: { type: "string" },
  },
});
const out = resolve(flags.out);
const to = (/** @type {string} */ name) => join(out, name);
// Products in float16 run on the matrix units of NVIDIA's GPUs behind these toggles of Dawn.
const units = ["--toggles", "disable_workgroup_init,allow_unsafe_apis,vulkan_enable_f16_on_nvidia"];
const ways = ["--backend", "webgpu", "--backend", "webgpu-mixed", ...units];
const torch = ["--without", "wasm", "--peer", "torch", "--folder", flags.peers, "--quick"];
const references = flags.references ? ["--references", flags.references] : [];

/** @type {readonly {name: string, seconds: number, program: string, args: readonly string[]}[]} */
const steps = [
  { name: "adapter", seconds: 20, program: "adapter", args: ["--json", to("adapter.json")] },
  { name: "numerics", seconds: 60, program: "numerics", args: ["--node-only", "--json", to("numerics.json")] },
  {
    name: "networks",
    seconds: 80,
    program: "bench",
    args: [...ways, "--quick", "--filter", "U-Net", "--json", to("networks.json")],
  },
  {
    name: "torch",
    seconds: 90,
    program: "peers",
    args: [...torch, ...references, "--filter", "U-Net", "--json", to("torch.json")],
  },
  { name: "kernels", seconds: 110, program: "bench", args: [...ways, "--quick", "--json", to("kernels.json")] },
  {
    name: "picture",
    seconds: 20,
    program: "commands",
    args: ["sample", "--checkpoint", "docs/mnist.safetensors", "--backend", "webgpu", "--out", to("picture")],
  },
  {
    name: "tuned",
    seconds: 100,
    program: "bench",
    args: ["--backend", "webgpu-tuned", "--quick", "--filter", "MNIST U-Net", "--json", to("tuned.json")],
  },
];

mkdirSync(out, { recursive: true });
const bundles = flags.bundles ?? (await bundleAll());
const chosen = steps.filter(({ name }) => !flags.pack && (flags.only?.split(",").includes(name) ?? true));
/** @type {object[]} */
const summary = [];
for (const { name, seconds: limit, program, args } of chosen) {
  process.stdout.write(`\n=== ${name} (at most ${limit} s)\n`);
  const began = performance.now();
  const exit = await run(join(bundles, `${program}.mjs`), args, limit, to(`${name}.log`));
  summary.push({ name, seconds: Math.round((performance.now() - began) / 1000), limit, exit });
  writeFileSync(to("summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
}
if (flags.pack) process.stdout.write(`${bundles}\n`);
else console.table(summary);

/**
 * Runs one program and ends it after its limit. Returns its exit code, or what ended it.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {number} limit seconds
 * @param {string} log
 * @returns {Promise<number | string | null>}
 */
function run(program, args, limit, log) {
  return new Promise((settle) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    /** @type {Buffer[]} */
    const printed = [];
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

async function bundleAll() {
  const { bundle } = await import("./bundle.mjs");
  const folder = to("bundles");
  for (const [name, entry] of Object.entries(PROGRAMS)) await bundle(entry, join(folder, `${name}.mjs`));
  return folder;
}
