// Which types of inputs an op takes together, and the refusal of others.

import type { DType } from "./shape.ts";

/** The types of an op's inputs, in order. The last one counts for all further inputs. */
export type Signature = readonly DType[];

/** Every type there is, the same for all inputs. */
export const ANY: readonly Signature[] = [["float32"], ["int32"], ["uint32"], ["bool"]];
/** Types that can be added and multiplied, the same for all inputs. */
export const NUMBERS: readonly Signature[] = ANY.slice(0, 3);
/** What an op takes that declares nothing else. */
const FLOATS: readonly Signature[] = [["float32"]];

interface Typed {
  readonly name: string;
  readonly types?: readonly Signature[];
}

/** Whether an op takes inputs of these types. */
export function accepts({ types = FLOATS }: Omit<Typed, "name">, found: readonly DType[]): boolean {
  return types.some((signature) => found.every((type, k) => type === typeAt(signature, k)));
}

/** @throws Error naming the op, the types and those that it takes */
export function checkTypes(op: Typed, inputs: readonly { readonly dtype: DType }[]): void {
  const { name, types = FLOATS } = op;
  for (const signature of types) {
    let k = 0;
    while (k < inputs.length && inputs[k].dtype === typeAt(signature, k)) k++;
    if (k === inputs.length) return;
  }
  throw new Error(
    `${name}: types ${inputs.map(({ dtype }) => dtype).join(", ")}, want ${wanted(types, inputs.length)}`,
  );
}

function typeAt(signature: Signature, k: number): DType {
  return signature[Math.min(k, signature.length - 1)];
}

/** "float32 or int32, all equal", or "bool, float32, float32 or bool, int32, int32". */
function wanted(types: readonly Signature[], count: number): string {
  if (types.every(({ length }) => length === 1)) {
    return `${types.map(([type]) => type).join(" or ")}${types.length > 1 && count > 1 ? ", all equal" : ""}`;
  }
  return types
    .map((signature) => Array.from({ length: count }, (_, k) => typeAt(signature, k)).join(", "))
    .join(" or ");
}
