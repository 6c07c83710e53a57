// Runs one case of one op on one backend and says how far each result is from the float64 reference, in units of its tolerance.
import { type Backend, cpu, grad, type Shape, type Tensor } from "@pkg/tensor";
import type { Case } from "../../../packages/tensor/src/op.ts";
import * as ops from "../../../packages/tensor/src/ops/index.ts";
import {
  type AnyOp,
  compare,
  distance,
  drawInputs,
  isDifferentiable,
  place,
  runOp,
  scalarOf,
  slopeOf,
} from "./derived.ts";

/** The oracle: every op's own formula in float64. */
export const exact = cpu({ precision: "float64", poison: true });

/** Every op there is. */
export const allOps: readonly AnyOp[] = Object.values(ops).filter(
  (value): value is AnyOp => typeof value === "object" && "infer" in value,
);

/** What was compared, and how far it was: beyond 1 is a failure. */
export interface Finding {
  readonly what: "value" | "value of strided inputs" | "repetition" | "gradient" | "second gradient";
  readonly relative: number;
  readonly message: string;
}

/** An order-1 gradient is a few ops, an order-2 one a few dozen, each within its own tolerance. */
function gradientTolerance({ tolerance: { relL2 = 0, abs = 0 } }: AnyOp, order: 1 | 2): number {
  return Math.max(relL2, abs, 1e-6) * [8, 64][order - 1];
}

/** All that follows from one of an op's cases on one backend. */
export async function checkCase(op: AnyOp, index: number, backend: Backend): Promise<Finding[]> {
  const given: Case<unknown> = op.cases[index];
  const drawn = drawInputs(given, index + 1);
  const run = (on: Backend, layout?: "strided") => runOp(op, place(drawn, on, layout), given.attrs, on);
  const reference = run(exact);
  const shapes = drawn.map(({ input }) => input.shape);
  const absolute = drawn.map(({ input, values }) => ({ input, values: values.map(Math.abs) }));
  const magnitudes = op.tolerance.terms && runOp(op, place(absolute, exact), given.attrs, exact);
  const findings: Finding[] = [];
  const value = async (what: Finding["what"], found: readonly Tensor[]) => {
    for (const [k, output] of found.entries()) {
      const { relative, message } = await compare(op.tolerance, output, reference[k], magnitudes?.[k], shapes);
      findings.push({ what, relative, message: `output ${k}: ${message}` });
    }
  };
  const plain = run(backend);
  await value("value", plain);
  await value("value of strided inputs", run(backend, "strided"));
  for (const [k, output] of run(backend).entries()) {
    const [first, again] = [await plain[k].data(), await output.data()];
    const differs = first.findIndex((v, i) => !Object.is(v, again[i]));
    const message =
      differs === -1 ? "" : `output ${k}: element ${differs} is ${first[differs]}, then ${again[differs]}`;
    findings.push({ what: "repetition", relative: differs === -1 ? 0 : Number.POSITIVE_INFINITY, message });
  }
  if (!isDifferentiable(op, given)) return findings;

  const gradients = (on: Backend, order: 1 | 2) => {
    const inputs = place(drawn, on);
    const f = scalarOf(op, given.attrs, on, inputs, 100);
    const xs = inputs.filter(({ dtype }) => dtype === "float32");
    return grad(order === 1 ? f : slopeOf(f, 300), xs);
  };
  for (const order of [1, 2] as const) {
    const far = await distance(gradients(backend, order), gradients(exact, order));
    const allowed = gradientTolerance(op, order);
    findings.push({
      what: order === 1 ? "gradient" : "second gradient",
      relative: Number.isFinite(far) ? far / allowed : Number.POSITIVE_INFINITY,
      message: `relative L2 distance to float64 is ${far}, want at most ${allowed}`,
    });
  }
  return findings;
}

/** How far a value is from float64, in units of the op's tolerance. */
export async function deviation(
  op: AnyOp,
  shapes: readonly Shape[],
  attrs: unknown,
  backend: Backend,
): Promise<number> {
  const drawn = drawInputs({ inputs: shapes }, 1);
  const absolute = drawn.map(({ input, values }) => ({ input, values: values.map(Math.abs) }));
  const [found] = runOp(op, place(drawn, backend), attrs, backend);
  const [reference] = runOp(op, place(drawn, exact), attrs, exact);
  const [magnitudes] = runOp(op, place(absolute, exact), attrs, exact);
  return (await compare(op.tolerance, found, reference, magnitudes, shapes)).relative;
}

/** "4 ulp, 1e-6": an element may be off by the larger of these; L2 is a bound on the norm of all errors. */
export function toleranceOf({ tolerance: { ulp, abs, relL2, terms } }: AnyOp): string {
  const parts = [
    ulp === undefined ? [] : `${ulp} ulp`,
    abs === undefined ? [] : short(abs),
    terms === undefined ? [] : "2⁻²³ √n Σ|ab|",
    relL2 === undefined ? [] : `L2 ${short(relL2)}`,
  ].flat();
  return parts.join(", ") || "exact";
}

function short(bound: number): string {
  return Number(bound.toPrecision(3)).toExponential();
}
