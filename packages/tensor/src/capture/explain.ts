// explain: which captured steps were replayed, and why others were not.

import { expectFunction } from "../argument.ts";

/** How a captured step ran. */
export interface StepReport {
  /** "minimize", "step", "ema", "sample", "flow", or the name of the captured function. */
  readonly name: string;
  /** Whether it was replayed. */
  readonly isReplayed: boolean;
  /** Why it ran op by op, in words; "" for a replay. */
  readonly reason: string;
}

/** Steps that ran in one way for one reason. */
export interface Explained extends StepReport {
  /** How many steps. */
  readonly steps: number;
}

let listener: ((report: StepReport) => void) | null = null;

/** Reports a step. */
export function tell(report: StepReport): void {
  listener?.(report);
}

/**
 * Runs `f`, and tells how the captured steps in it ran: how many were replayed, and for what reasons others ran op by op.
 * @param f may be async; steps of other tasks that run meanwhile are reported too
 * @throws what `f` throws
 */
export async function explain(f: () => unknown): Promise<Explained[]> {
  expectFunction("explain", "f", f);
  const found = new Map<string, { report: StepReport; steps: number }>();
  const before = listener;
  listener = (report) => {
    const key = `${report.name} ${report.isReplayed} ${report.reason}`;
    const known = found.get(key) ?? { report, steps: 0 };
    known.steps++;
    found.set(key, known);
    before?.(report);
  };
  try {
    await f();
  } finally {
    listener = before;
  }
  return [...found.values()].map(({ report, steps }) => ({ ...report, steps }));
}
