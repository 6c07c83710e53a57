// Every place where a test can put a NaN: each float32 input of each case of each op whose numbers are finite.
import { allOps } from "../checkCase.ts";
import { type AnyOp, drawInputs } from "../derived.ts";

export interface Injection {
  readonly op: AnyOp;
  /** Which of the op's cases. */
  readonly index: number;
  /** Which of its inputs. */
  readonly input: number;
}

/** Cases of more elements take long to place again and again, and show nothing more. */
const MAX_SIZE = 6000;

export const INJECTIONS: readonly Injection[] = allOps.flatMap((op) =>
  op.cases.flatMap((given, index) => {
    const drawn = drawInputs(given, index + 1);
    if (drawn.some(({ values }) => values.length > MAX_SIZE || !values.every(Number.isFinite))) return [];
    return drawn.flatMap(({ input: { dtype = "float32" }, values }, input) =>
      dtype === "float32" && values.length > 0 ? [{ op, index, input }] : [],
    );
  }),
);
