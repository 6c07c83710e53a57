// What a probe is: a question to an adapter that WGSL leaves open, and how it is asked by a small kernel.
import { type Tensor, tensor, type WebgpuBackend } from "@pkg/tensor";

/** What was asked, and the answer as it stands in docs/adapters.md. */
export type Answers = Readonly<Record<string, string>>;

/** What the engine gives where the adapter is not to be trusted, and what it has to give. */
export interface Check {
  readonly what: string;
  readonly found: number;
  readonly want: number;
  /** How far the two may be apart, as a share of the second. NaN wants NaN. */
  readonly within: number;
}

export interface Probe {
  readonly topic: string;
  readonly ask: (device: GPUDevice, adapter: GPUAdapter) => Promise<Answers>;
  /** What the engine does about it. */
  readonly guard: string;
  readonly ours?: (backend: WebgpuBackend) => Promise<readonly Check[]>;
}

type Scalar = "f32" | "i32" | "u32";

/** An expression in a, b, c, which are read from a buffer when the kernel runs, so that no compiler knows them. */
export interface Expression {
  readonly wgsl: string;
  /** How it is written in the table; the expression itself by default. */
  readonly label?: string;
  readonly operands: readonly (readonly number[])[];
  readonly type?: Scalar;
  readonly result?: Scalar;
  /** The exact value, where the answer is how far off the adapter is. */
  readonly exact?: (a: number, b: number) => number;
  /** The engine's ops for it, and what they have to give for each of the operands. */
  readonly ours?: (a: Tensor, b: Tensor, c: Tensor) => Tensor;
  readonly want?: readonly number[];
  readonly within?: number;
}

/** A probe of expressions. */
export function expressions(topic: string, guard: string, ...asked: readonly Expression[]): Probe {
  return {
    topic,
    guard,
    async ask(device) {
      const answers: Record<string, string> = {};
      for (const expression of asked) {
        const found = await evaluate(device, expression);
        for (const [k, operands] of expression.operands.entries()) {
          const y = found[k];
          const truth = expression.exact?.(operands[0], operands[1]);
          answers[labelOf(expression, operands)] = truth === undefined ? text(y) : offBy(y, truth);
        }
      }
      return answers;
    },
    async ours(backend) {
      const checks: Check[] = [];
      for (const { ours, want, within = 0, operands, type = "f32", ...rest } of asked) {
        if (!ours || !want) continue;
        const columns = [0, 1, 2].map((k) =>
          tensor(
            operands.map((given) => given[k] ?? 0),
            { backend, dtype: DTYPE[type] },
          ),
        );
        const found = await ours(columns[0], columns[1], columns[2]).data();
        for (const [k, given] of operands.entries()) {
          checks.push({ what: labelOf(rest, given), found: found[k], want: want[k], within });
        }
      }
      return checks;
    },
  };
}

const DTYPE = { f32: "float32", i32: "int32", u32: "uint32" } as const;

/** Whether the engine's answer is right. */
export function holds({ found, want, within }: Check): boolean {
  return Object.is(found, want) || Math.abs(found - want) <= within * Math.abs(want);
}

/** The expression's value for each of its operands. */
export async function evaluate(
  device: GPUDevice,
  { wgsl, operands, type = "f32", result = type }: Expression,
): Promise<ArrayLike<number>> {
  const flat = operands.flatMap(([a, b = 0, c = 0]) => [a, b, c]);
  const given =
    type === "f32" ? Float32Array.from(flat) : type === "i32" ? Int32Array.from(flat) : Uint32Array.from(flat);
  const kernel = `
@group(0) @binding(0) var<storage, read> operands: array<${type}>;
@group(0) @binding(1) var<storage, read_write> out: array<${result}>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3<u32>) {
  let a = operands[3u * id.x];
  let b = operands[3u * id.x + 1u];
  let c = operands[3u * id.x + 2u];
  out[id.x] = ${wgsl};
}`;
  const bytes = await runKernel(device, kernel, [given], operands.length, operands.length);
  return result === "f32" ? new Float32Array(bytes) : result === "i32" ? new Int32Array(bytes) : new Uint32Array(bytes);
}

/** Runs a kernel that reads its first bindings and writes the last, of `size` elements of four bytes. */
export async function runKernel(
  device: GPUDevice,
  code: string,
  inputs: readonly (Float32Array | Int32Array | Uint32Array)[],
  size: number,
  workgroups: number,
): Promise<ArrayBuffer> {
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = USAGE;
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const buffers = inputs.map((values) => {
    const buffer = device.createBuffer({ size: values.byteLength, usage: STORAGE | COPY_DST });
    device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>); // made here, over no shared memory
    return buffer;
  });
  const out = device.createBuffer({ size: 4 * size, usage: STORAGE | COPY_SRC });
  const staging = device.createBuffer({ size: 4 * size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [...buffers, out].map((buffer, binding) => ({ binding, resource: { buffer } }));
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(workgroups);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, staging, 0, 4 * size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const copy = staging.getMappedRange().slice(0);
  for (const buffer of [...buffers, out, staging]) buffer.destroy();
  return copy;
}

// The flags of GPUBufferUsage, which Node has no global of.
const USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, STORAGE: 128 } as const;

/** "pow(0, −1)": the expression with its operands filled in. */
function labelOf({ wgsl, label = wgsl }: Pick<Expression, "wgsl" | "label">, operands: readonly number[]): string {
  return label.replace(/\b[abc]\b/g, (name) => text(operands["abc".indexOf(name)] ?? 0));
}

/** A float32 or an integer in as few digits as tell it apart. */
export function text(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Object.is(value, -0)) return "−0";
  const digits = Array.from({ length: 9 }, (_, k) => Number(value.toPrecision(k + 1)));
  const shortest =
    Number.isInteger(value) && Math.abs(value) < 1e10
      ? value
      : (digits.find((short) => Math.fround(short) === Math.fround(value)) ?? value);
  const size = Math.abs(shortest);
  const written = size !== 0 && (size < 1e-4 || size >= 1e12) ? shortest.toExponential() : `${shortest}`;
  return written.replace("e+", "e").replaceAll("-", "−");
}

function offBy(found: number, exact: number): string {
  const off = Math.abs(found - exact);
  if (Object.is(found, exact) || Math.fround(exact) === found) return "exact";
  return Number.isFinite(off) ? `off by ${text(Number(off.toPrecision(1)))}` : text(found);
}
