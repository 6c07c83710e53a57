// What the suite derives from an op's cases: values, gradients of both orders, views, and error inputs, on any backend.
import { type Backend, grad, jvp, type Shape, type Tensor, tensor } from "@pkg/tensor";
import type { GpuTarget, KernelCall } from "../../../packages/tensor/src/backends/webgpu/rule.ts";
import type { Case, CaseInput, Op, Tolerance } from "../../../packages/tensor/src/op.ts";
import { contiguousLayout, type Spec, sizeOf, stridesOf } from "../../../packages/tensor/src/shape.ts";
import { apply } from "../../../packages/tensor/src/tensor.ts";

/** Any op: its attrs come from its own cases. */
// biome-ignore lint/suspicious/noExplicitAny: attrs of different ops share no type, and each op gets its own
export type AnyOp = Op<any>;

/** How far a result was from the reference: 1 is as far as the tolerance allows. */
export interface Deviation {
  readonly relative: number;
  readonly message: string;
}

/** Float32 values of a case, drawn from a seed; equal on every backend. */
export function drawInputs({ inputs }: Case<unknown>, seed: number): { values: number[]; input: CaseInput }[] {
  const uniform = generator(seed);
  const before: number[][] = [];
  return inputs.map((given) => {
    const input: CaseInput = "shape" in given ? given : { shape: given };
    const { shape, dtype = "float32", range: [lo, hi] = dtype === "bool" ? [0, 2] : [-1, 1], values } = input;
    const draw = () =>
      dtype === "float32" ? Math.fround(lo + (hi - lo) * uniform()) : Math.floor(lo + (hi - lo) * uniform());
    const exactly = typeof values === "function" ? values(before) : values;
    before.push(exactly ? [...exactly] : Array.from({ length: sizeOf(shape) }, draw));
    return { input, values: before[before.length - 1] };
  });
}

/** The same values as tensors; `layout` says how their elements lie. */
export function place(
  drawn: ReturnType<typeof drawInputs>,
  backend: Backend,
  layout: "rows" | "strided" = "rows",
): Tensor[] {
  return drawn.map(({ input: { shape, dtype = "float32" }, values }) => {
    const plain = tensor(Float64Array.from(values), { backend, shape, dtype });
    return layout === "rows" ? plain : restride(plain);
  });
}

/** The same tensor with its elements in reverse order of axes, behind an offset, as nobody would lay them out. */
function restride(x: Tensor): Tensor {
  const reversed = Array.from({ length: x.rank }, (_, k) => x.rank - 1 - k);
  const turned = x.permute(reversed).contiguous();
  if (x.rank === 0) return turned;
  const padded = turned.pad(turned.shape.map((_, k) => (k === 0 ? [1, 0] : [0, 0])));
  return padded.slice([1]).permute(reversed);
}

export function runOp(op: AnyOp, inputs: readonly Tensor[], attrs: unknown, backend: Backend): Tensor[] {
  return apply(op, inputs, attrs, backend).slice(0, op.auxiliary);
}

/** Whether the op has a derivative of a float32 output with respect to a float32 input of this case. */
export function isDifferentiable(op: AnyOp, given: Case<unknown>): boolean {
  const specs = specsOf(given);
  const hasFloat = (values: readonly Spec[]) => values.some(({ dtype }) => dtype === "float32");
  return (
    (op.vjp !== undefined || op.composed !== undefined) && hasFloat(specs) && hasFloat(op.infer(specs, given.attrs))
  );
}

/** Whether GPUs run other kernels, or other variants of them, than software adapters do. */
export function hasTiledVariant(op: AnyOp): boolean {
  return op.cases.some((given) => {
    const kernels = (["direct", "tiled"] as const).map((profile) =>
      JSON.stringify(kernelCalls(op, given, profile).map(({ kernel, constants }) => [kernel, constants])),
    );
    return kernels[0] !== kernels[1];
  });
}

/** What an op would dispatch for one of its cases, whose inputs are row-major or, where the op takes such, transposed. */
export function kernelCalls(
  op: AnyOp,
  given: Case<unknown>,
  profile: GpuTarget["profile"],
  layout: "rows" | "transposed" = "rows",
): readonly KernelCall[] {
  const viewOf = ({ shape, dtype }: Spec) => ({ ...contiguousLayout(shape), dtype });
  const inputs = specsOf(given).map(viewOf);
  const outputs = op.infer(inputs, given.attrs).map(viewOf);
  const operands = inputs.map((input, i) => {
    const strides = stridesOf(input.shape.toReversed()).toReversed();
    const transposed = { ...input, strides };
    return layout === "transposed" && op.webgpu?.takes?.(transposed, i, given.attrs) ? transposed : input;
  });
  const target = { profile, workgroupMemory: 32768, maxInvocations: 256 };
  const temporary = (size: number) => ({ temporary: 0, size });
  return op.webgpu?.calls({ inputs: operands, outputs, attrs: given.attrs, target, temporary }) ?? [];
}

/** Shapes and types of a case's inputs. */
export function specsOf({ inputs }: Case<unknown>): Spec[] {
  return inputs.map((input) => {
    const { shape, dtype = "float32" }: CaseInput = "shape" in input ? input : { shape: input };
    return { shape, dtype };
  });
}

/** A scalar function of the op's float inputs: Σ wᵢ · yᵢ over its float outputs, with weights from a seed. */
export function scalarOf(
  op: AnyOp,
  attrs: unknown,
  backend: Backend,
  inputs: readonly Tensor[],
  seed: number,
): (...xs: Tensor[]) => Tensor {
  return (...xs) => {
    let next = 0;
    const operands = inputs.map((input) => (input.dtype === "float32" ? xs[next++] : input));
    const outputs = runOp(op, operands, attrs, backend).filter((output) => output.dtype === "float32");
    return outputs
      .map((output, k) => output.mul(weights(output.shape, backend, seed + k)).sum())
      .reduce((a, b) => a.add(b));
  };
}

/** d/dx of `f` along random directions `u`, as a scalar function itself: what the second order is the gradient of. */
export function slopeOf(f: (...xs: Tensor[]) => Tensor, seed: number): (...xs: Tensor[]) => Tensor {
  return (...xs) =>
    grad(f, xs)
      .map((g, k) => g.mul(weights(g.shape, g.backend, seed + k)).sum())
      .reduce((a, b) => a.add(b));
}

/**
 * The directional derivative of `f` at xs, by grad and by jvp, against central differences (as JAX's check_grads does).
 * @returns the difference, relative to PyTorch's gradcheck bound 1e-5 + 1e-3 · |numeric| at a step of 1e-6
 */
export async function checkSlope(
  f: (...xs: Tensor[]) => Tensor,
  xs: readonly Tensor[],
  seed: number,
): Promise<Deviation> {
  const step = 1e-6;
  const directions = xs.map((x, k) => weights(x.shape, x.backend, seed + k));
  const along = (by: number) => f(...xs.map((x, k) => x.add(directions[k].mul(by))));
  const [above, below] = [await along(step).item(), await along(-step).item()];
  const numeric = (above - below) / (2 * step);
  const grads = grad(f, xs);
  let analytic = 0;
  for (const [k, g] of grads.entries()) analytic += await g.mul(directions[k]).sum().item();
  const forward = await jvp(f, xs, directions).tangent.item();
  const allowed = 1e-5 + 1e-3 * Math.abs(numeric);
  return {
    relative: Math.max(...[analytic, forward].map((found) => deviation(Math.abs(found - numeric), allowed))),
    message: `derivative along a direction: ${analytic} by grad, ${forward} by jvp, ${numeric} by central differences`,
  };
}

/** A float32 result against the float64 reference, element by element and as a whole, under the op's tolerance. */
export async function compare(
  { relL2, ulp, abs, terms }: Tolerance,
  found: Tensor,
  reference: Tensor,
  magnitudes: Tensor | undefined,
  shapes: readonly Shape[],
): Promise<Deviation> {
  if (`${found.shape}` !== `${reference.shape}` || found.dtype !== reference.dtype) {
    return { relative: Number.POSITIVE_INFINITY, message: `${found}, want ${reference.dtype} [${reference.shape}]` };
  }
  const [a, b] = [await found.data(), await reference.data()];
  const sums = magnitudes && (await magnitudes.data());
  const exact = found.dtype !== "float32";
  const unit = 2 ** -24;
  const spread = terms ? 2 * unit * Math.sqrt(Math.max(1, terms(shapes))) : 0;
  let worst = 0;
  let at = 0;
  let [errors, norms] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const error = Math.abs(a[i] - b[i]);
    const allowed = exact
      ? 0
      : Math.max(abs ?? 0, (ulp ?? 0) * unit * Math.abs(b[i]) + 2 ** -149, spread * (sums?.[i] ?? 0));
    const relative =
      relL2 !== undefined && ulp === undefined && abs === undefined && !terms
        ? Number.isNaN(error)
          ? Number.POSITIVE_INFINITY
          : 0
        : deviation(error, allowed);
    if (relative > worst) [worst, at] = [relative, i];
    errors += error * error;
    norms += b[i] * b[i];
  }
  if (relL2 !== undefined && a.length > 0) {
    const relative = deviation(Math.sqrt(errors), relL2 * Math.sqrt(norms) + 1e-30);
    if (relative > worst) return { relative, message: `relative L2 error ${Math.sqrt(errors / norms)}, want ${relL2}` };
  }
  return { relative: worst, message: `element ${at} is ${a[at]}, the reference ${b[at]}` };
}

/** relL2 distance of two lists of tensors. */
export async function distance(found: readonly Tensor[], reference: readonly Tensor[]): Promise<number> {
  let [errors, norms] = [0, 0];
  for (const [k, tensor] of found.entries()) {
    const [a, b] = [await tensor.data(), await reference[k].data()];
    for (let i = 0; i < a.length; i++) {
      errors += (a[i] - b[i]) ** 2;
      norms += b[i] ** 2;
    }
  }
  return Math.sqrt(errors) / Math.max(Math.sqrt(norms), 1e-3);
}

/** How far an error is from what is allowed; not finite counts as infinitely far. */
function deviation(error: number, allowed: number): number {
  if (error === 0) return 0;
  return Number.isFinite(error) && allowed > 0 ? error / allowed : Number.POSITIVE_INFINITY;
}

function weights(shape: Shape, backend: Backend, seed: number): Tensor {
  const uniform = generator(seed);
  return tensor(
    Float64Array.from({ length: sizeOf(shape) }, () => Math.fround(2 * uniform() - 1)),
    { backend, shape },
  );
}

/** Numbers in [0, 1) from a seed: xorshift, good enough to draw test inputs. */
export function generator(seed: number): () => number {
  let state = (seed * 2654435761 + 12345) >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
  for (let k = 0; k < 8; k++) next();
  return next;
}
