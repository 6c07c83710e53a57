// Packs a kernel's parameters into the bytes of its `struct Params`, whose fields are read from the WGSL itself.

interface Field {
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

/** Reads the layout from WGSL; null when the kernel has no parameters. @throws Error for types that it does not know */
export function paramsLayout(wgsl: string): ParamsLayout | null {
  const body = /^struct Params \{\n([\s\S]*?)^\}/m.exec(wgsl)?.[1];
  if (body === undefined) return null;
  let end = 0;
  const fields = [...body.matchAll(/^ *(\w+): ([^\n]+?),?(?: *\/\/.*)?$/gm)].map(([, name, type]): Field => {
    const { scalar, count, align } = parseType(type);
    const offset = Math.ceil(end / align) * align;
    end = offset + count * 4;
    return { name, scalar, offset, count };
  });
  return { fields, bytes: Math.ceil(end / 16) * 16 };
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
  if (Object.keys(params).length !== fields.length || !fields.every(({ name }) => name in params)) {
    throw new Error(`params: got ${Object.keys(params).join(", ")}, want ${fields.map(({ name }) => name).join(", ")}`);
  }
  for (const { name, scalar, offset, count } of fields) {
    const value = params[name];
    const values = typeof value === "number" ? [value] : value;
    if (values.length !== count) throw new Error(`params: ${values.length} numbers for ${name}, want ${count}`);
    for (let k = 0; k < count; k++) {
      if (scalar === "f32") target.setFloat32(at + offset + 4 * k, values[k], true);
      else if (scalar === "i32") target.setInt32(at + offset + 4 * k, values[k], true);
      else target.setUint32(at + offset + 4 * k, values[k], true);
    }
  }
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
