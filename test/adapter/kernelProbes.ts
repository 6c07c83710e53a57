// Probes that need more than an expression: limits, errors over many arguments, halves, what lies past the end, subgroups.
import { cpu, DeviceLostError, randomStream, type Tensor, tensor, type WebgpuBackend, webgpu } from "@pkg/tensor";
import { openGpu } from "../../bench/gpuDevice.ts";
import { findAdapter } from "../../packages/tensor/src/backends/webgpu/device/device.ts";
import { type Answers, type Check, type Expression, evaluate, type Probe, runKernel, text } from "./probe.ts";

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxStorageBuffersPerShaderStage",
] as const;

/** What the adapter says of itself. */
export const deviceRows: Probe = {
  topic: "limits",
  guard: "Limits count as they are given. A buffer's size is a multiple of 4 below `maxBufferSize`.",
  async ask(_, { limits, features, info }) {
    const { subgroupMinSize, subgroupMaxSize } = info as { subgroupMinSize?: number; subgroupMaxSize?: number };
    return {
      ...Object.fromEntries(LIMITS.map((name) => [name, `${limits[name]}`])),
      "size of a subgroup": `${subgroupMinSize ?? "?"} to ${subgroupMaxSize ?? "?"}`,
      ...Object.fromEntries(
        ["shader-f16", "subgroups", "timestamp-query"].map((name) => [name, features.has(name) ? "yes" : "no"]),
      ),
      isFallbackAdapter: info.isFallbackAdapter ? "yes" : "no",
    };
  },
};

/** A function whose error is measured over many arguments. */
interface Swept extends Pick<Expression, "wgsl"> {
  readonly exact: (a: number, b: number) => number;
  readonly from: readonly [number, number];
  readonly second?: readonly [number, number];
  readonly ours: (a: Tensor, b: Tensor) => Tensor;
  /** What docs/numerics.md allows. */
  readonly ulp: number;
}

const SWEPT: readonly Swept[] = [
  { wgsl: "a / b", exact: (a, b) => a / b, from: [-9, 9], second: [0.1, 9], ours: (a, b) => a.div(b), ulp: 5 },
  { wgsl: "sqrt(a)", exact: Math.sqrt, from: [0, 100], ours: (a) => a.sqrt(), ulp: 4 },
  { wgsl: "inverseSqrt(a)", exact: (a) => 1 / Math.sqrt(a), from: [0.01, 100], ours: (a) => a.rsqrt(), ulp: 4 },
  { wgsl: "exp(a)", exact: Math.exp, from: [-80, 80], ours: (a) => a.exp(), ulp: 4 },
  { wgsl: "log(a)", exact: Math.log, from: [0.5, 2], ours: (a) => a.log(), ulp: 4 },
  { wgsl: "sin(a)", exact: Math.sin, from: [-3, 3], ours: (a) => a.sin(), ulp: 8 },
  { wgsl: "cos(a)", exact: Math.cos, from: [-1.5, 1.5], ours: (a) => a.cos(), ulp: 8 },
  { wgsl: "tanh(a)", exact: Math.tanh, from: [-9, 9], ours: (a) => a.tanh(), ulp: 12 },
];
const POINTS = 4096;

/** The largest errors of built-in functions, and of ours. */
export const builtInErrors: Probe = {
  topic: "worst error of built-in functions, in 2⁻²⁴ of the value",
  guard: "Functions of our own but for quotients and roots, within the bounds of `docs/numerics.md`.",
  async ask(device) {
    const answers: Record<string, string> = {};
    for (const swept of SWEPT) {
      const found = await evaluate(device, { wgsl: swept.wgsl, operands: argumentsOf(swept) });
      const ends = [swept.from, ...(swept.second ? [swept.second] : [])].map(([lo, hi]) => `${lo} … ${hi}`);
      const label = swept.wgsl.replace(/\b[ab]\b/g, (name) => ends["ab".indexOf(name)].replaceAll("-", "−"));
      answers[label] = text(Number(worst(swept, found).toPrecision(2)));
    }
    return answers;
  },
  async ours(backend) {
    const checks: Check[] = [];
    for (const swept of SWEPT) {
      const [a, b] = [0, 1].map((k) =>
        tensor(
          Float32Array.from(argumentsOf(swept), (given) => given[k]),
          { backend },
        ),
      );
      const found = worst(swept, await swept.ours(a, b).data());
      checks.push({
        what: `${swept.wgsl} is within ${swept.ulp} · 2⁻²⁴`,
        found: Number(found <= swept.ulp),
        want: 1,
        within: 0,
      });
    }
    return checks;
  },
};

/** Arguments that lie evenly, rounded to float32. */
function argumentsOf({ from, second = [1, 1] }: Swept): [number, number][] {
  const at = ([lo, hi]: readonly [number, number], k: number) => Math.fround(lo + ((hi - lo) * (k + 0.37)) / POINTS);
  return Array.from({ length: POINTS }, (_, k) => [at(from, k), at(second, (k * 997) % POINTS)]);
}

function worst(swept: Swept, found: ArrayLike<number>): number {
  const errors = argumentsOf(swept).map(([a, b], k) => {
    const y = swept.exact(a, b);
    return Math.abs(found[k] - y) / (2 ** -24 * Math.abs(y));
  });
  return errors.reduce((a, b) => (b > a || Number.isNaN(b) ? b : a));
}

const hex = (bits: number): string => `0x${bits.toString(16).padStart(8, "0")}`;

/** Numbers, and what is left of them in float16. */
const HALVES = [
  [1 + 2 ** -14, 1],
  [65519, 65504],
  [70000, Number.POSITIVE_INFINITY],
  [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
] as const;

/** Halves in pairs, and rounding that a compiler may leave out. */
export const halves: Probe = {
  topic: "float16",
  guard:
    "Halves are packed, unpacked and rounded by integers, each in a kernel of its own (`kernels/elementwise/round_half.wgsl`).",
  async ask(device, adapter) {
    const packed = async (a: number, b: number) =>
      (await evaluate(device, { wgsl: "pack2x16float(vec2<f32>(a, b))", operands: [[a, b]], result: "u32" }))[0];
    const around = "unpack2x16float(pack2x16float(vec2<f32>(a, b))).x";
    const [there] = Array.from(await evaluate(device, { wgsl: around, operands: [[1 + 2 ** -14, 0]] }));
    const answers: Record<string, string> = {
      "pack2x16float(1, 70000)": hex(await packed(1, 70000)),
      "pack2x16float(∞, 1)": hex(await packed(Number.POSITIVE_INFINITY, 1)),
      "pack2x16float(65520, 65519)": hex(await packed(65520, 65519)),
      "unpack2x16float(pack2x16float(1 + 2⁻¹⁴))": there === 1 ? "rounded" : "not rounded",
    };
    if (!adapter.features.has("shader-f16")) return { ...answers, "f32(f16(1 + 2⁻¹⁴))": "no float16" };
    const kernel = `enable f16;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn main() { out[0] = f32(f16(a[0])); }`;
    const [half] = new Float32Array(await runKernel(device, kernel, [Float32Array.of(1 + 2 ** -14)], 1, 1));
    return { ...answers, "f32(f16(1 + 2⁻¹⁴))": half === 1 ? "rounded" : "not rounded" };
  },
  async ours() {
    const backend = await webgpu({ precision: "mixed" });
    const one = tensor([[1]], { backend });
    const checks: Check[] = [];
    for (const [given, want] of HALVES) {
      const product = tensor([[given]], { backend }).matmul(one);
      checks.push({ what: `product of ${text(given)} and 1 in float16`, found: await product.item(), want, within: 0 });
    }
    backend.dispose();
    return checks;
  },
};

/** A quiet NaN and a signalling one. */
const NANS = [0x7fc12345, 0x7f812345] as const;

/** What kernels keep of the bits of a NaN that they copy. */
export const stored: Probe = {
  topic: "bits of a NaN",
  guard: "No kernel tells NaN apart by its payload.",
  async ask(device) {
    const given = Uint32Array.from(NANS);
    const kernel = (element: string) => `
@group(0) @binding(0) var<storage, read> a: array<${element}>;
@group(0) @binding(1) var<storage, read_write> out: array<${element}>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) { out[id.x] = a[id.x]; }`;
    const answers: Record<string, string> = {};
    for (const element of ["u32", "f32"]) {
      const copies = new Uint32Array(await runKernel(device, kernel(element), [given], 2, 2));
      for (const [k, name] of [hex(NANS[0]), `the signalling ${hex(NANS[1])}`].entries()) {
        answers[`copy of ${name} as ${element}`] = hex(copies[k]);
      }
    }
    return answers;
  },
  async ours(backend) {
    const found = await tensor(new Float32Array(Uint32Array.from(NANS).buffer), { backend })
      .isNaN()
      .data();
    return NANS.map((bits, k) => ({ what: `isNaN of ${hex(bits)}`, found: found[k], want: 1, within: 0 }));
  },
};

/** Indices that WebGPU keeps inside of the buffer, as it likes. */
export const outOfBounds: Probe = {
  topic: "past the end of a buffer of [1, 2, 3, 4]",
  guard: "Every kernel tests its bounds. Indices of `gather` outside of the table read NaN.",
  async ask(device) {
    const read = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn main() { out[0] = a[index[0]]; }`;
    const four = Float32Array.of(1, 2, 3, 4);
    const [five] = new Float32Array(await runKernel(device, read, [four, Uint32Array.of(5)], 1, 1));
    const write = `
@group(0) @binding(0) var<storage, read> index: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn main() { for (var i = 0u; i < 4u; i++) { out[i] = f32(i + 1u); } out[index[0]] = 9.0; }`;
    const written = new Float32Array(await runKernel(device, write, [Uint32Array.of(5)], 4, 1));
    return {
      "element 5 reads": text(five),
      "9 written to element 5 leaves": `[${[...written].map(text).join(", ")}]`,
    };
  },
  async ours(backend) {
    const table = tensor([1, 2, 3, 4], { backend });
    const found = await table.gather(tensor([5, 3, -1], { backend, dtype: "int32" })).data();
    return [Number.NaN, 4, Number.NaN].map((want, k) => ({
      what: `gather of index ${[5, 3, -1][k]}`,
      found: found[k],
      want,
      within: 0,
    }));
  },
};

/** That random numbers have the bits that the host gives them. */
export async function drawsOfTheHost(backend: WebgpuBackend): Promise<Check[]> {
  const [found, want] = await Promise.all(
    [backend, cpu()].map((on) => randomStream(7).normal([64], { backend: on }).data()),
  );
  return Array.from(found, (draw, k) => ({ what: `normal draw ${k}`, found: draw, want: want[k], within: 0 }));
}

/** What a device that ends leaves of a call that waits. */
export const endedDevice: Probe = {
  topic: "a device that is destroyed while a buffer is mapped",
  guard: "What waits rejects with a `DeviceLostError`, which says what was lost.",
  async ask() {
    const adapter = await findAdapter();
    if (typeof adapter === "string") throw new Error(adapter);
    const device = await adapter.requestDevice();
    const pending = device.createBuffer({ size: 16, usage: 9 }).mapAsync(1); // MAP_READ | COPY_DST
    device.destroy();
    const outcome = await pending.then(
      () => "resolves",
      ({ name, message }: Error) => `rejects: ${name} with ${message ? "a message" : "an empty message"}`,
    );
    return { mapAsync: outcome, "reason of lost": (await device.lost).reason };
  },
  async ours() {
    const { backend, device } = await openGpu();
    const pending = tensor([1], { backend }).add(1).data();
    device.destroy();
    const outcome = await pending.catch((error: unknown) => error);
    const found = Number(outcome instanceof DeviceLostError && outcome.message.length > 0);
    return [{ what: "a reading that waits names the loss", found, want: 1, within: 0 }];
  },
};

/** The order in which a subgroup adds. */
export const subgroupSums: Probe = {
  topic: "sums of subgroups",
  guard: "Sums are added in an order of our own. Subgroups serve for matrix products alone.",
  async ask(device): Promise<Answers> {
    const label = "subgroupAdd of [1e8, 1, −1e8, 1]";
    if (!device.features.has("subgroups")) return { [label]: "no subgroups" };
    const kernel = `enable subgroups;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  let total = subgroupAdd(a[i]);
  if (i == 0u) { out[0] = total; }
}`;
    const [total] = new Float32Array(await runKernel(device, kernel, [Float32Array.of(1e8, 1, -1e8, 1)], 1, 1));
    return { [label]: text(total) };
  },
};
