// Packs a kernel's parameters into the bytes of its `struct Params`, whose fields are read from the WGSL itself.

/** One parameter, and where its bytes lie. */
export interface Field {
  readonly name: string;
  readonly scalar: "u32" | "i32" | "f32";
  readonly offset: number;
  readonly count: number;
}

/** The layout of a kernel's `struct Params` under WGSL's rules for uniforms. */
export interface ParamsLayout {
  readonly fields: readonly Field[];
  readonly bytes: number;
}

/**
 * Reads the layout from WGSL; null when the kernel has no parameters. The fields of a struct inside count as the kernel's own.
 * @throws Error for types that it does not know
 */
export function paramsLayout(wgsl: string): ParamsLayout | null {
  if (!bodyOf(wgsl, "Params")) return null;
  const { fields, end } = structLayout(wgsl, "Params");
  return { fields, bytes: Math.ceil(end / 16) * 16 };
}

function structLayout(wgsl: string, name: string): { fields: Field[]; end: number; align: number } {
  const fields: Field[] = [];
  let [end, most] = [0, 4];
  for (const [, field, type] of bodyOf(wgsl, name).matchAll(/^ *(\w+): ([^\n]+?),?(?: *\/\/.*)?$/gm)) {
    const inner = bodyOf(wgsl, type) ? structLayout(wgsl, type) : null;
    const { align } = inner ?? parseType(type);
    most = Math.max(most, align);
    const offset = Math.ceil(end / align) * align;
    if (inner) {
      fields.push(...inner.fields.map((one) => ({ ...one, offset: offset + one.offset })));
      end = offset + Math.ceil(inner.end / align) * align;
    } else {
      const { scalar, count } = parseType(type);
      fields.push({ name: field, scalar, offset, count });
      end = offset + count * 4;
    }
  }
  return { fields, end, align: most };
}

/** What stands in a struct, on lines of its own; "" where there is none of that name. */
function bodyOf(wgsl: string, name: string): string {
  return new RegExp(`^struct ${/^\w+$/.test(name) ? name : "-"} \\{\\n([\\s\\S]*?)^\\}`, "m").exec(wgsl)?.[1] ?? "";
}

/**
 * Writes parameters at a byte offset.
 * @throws Error for a missing, unknown or wrongly sized parameter
 */
export function writeParams(
  target: DataView,
  at: number,
  { fields }: ParamsLayout,
  params: Readonly<Record<string, number | readonly number[]>>,
): void {
  let given = 0;
  for (const _ in params) given++;
  if (given !== fields.length || !fields.every(({ name }) => name in params)) {
    throw new Error(`params: got ${Object.keys(params).join(", ")}, want ${fields.map(({ name }) => name).join(", ")}`);
  }
  for (const field of fields) writeField(target, at, field, params[field.name]);
}

/** Writes one parameter, into parameters at a byte offset. @throws Error when it is wrongly sized */
export function writeField(
  target: DataView,
  at: number,
  { name, scalar, offset, count }: Field,
  value: number | readonly number[],
): void {
  if (typeof value === "number") {
    if (count !== 1) throw new Error(`params: 1 numbers for ${name}, want ${count}`);
    writeScalar(target, at + offset, scalar, value);
    return;
  }
  if (value.length !== count) throw new Error(`params: ${value.length} numbers for ${name}, want ${count}`);
  for (let k = 0; k < count; k++) writeScalar(target, at + offset + 4 * k, scalar, value[k]);
}

function writeScalar(target: DataView, at: number, scalar: Field["scalar"], value: number): void {
  if (scalar === "f32") target.setFloat32(at, value, true);
  else if (scalar === "i32") target.setInt32(at, value, true);
  else target.setUint32(at, value, true);
}

function parseType(type: string): { scalar: Field["scalar"]; count: number; align: number } {
  const scalar = /^(u32|i32|f32)$/.exec(type);
  if (scalar) return { scalar: scalar[1] as Field["scalar"], count: 1, align: 4 };
  const vector = /^vec([234])<(u32|i32|f32)>$/.exec(type);
  if (vector) {
    const count = Number(vector[1]);
    return { scalar: vector[2] as Field["scalar"], count, align: count === 2 ? 8 : 16 };
  }
  const array = /^array<vec4<(u32|i32|f32)>, (\d+)>$/.exec(type);
  if (array) return { scalar: array[1] as Field["scalar"], count: 4 * Number(array[2]), align: 16 };
  throw new Error(`params: a field of type ${type}, want u32, i32, f32, a vector of them, or array<vec4<…>, n>`);
}
