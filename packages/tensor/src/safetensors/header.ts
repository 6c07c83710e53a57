// The JSON header of a safetensors file as checked entries. Lengths and data belong to safetensors.ts.

/** What the header says about one tensor. `begin` and `end` are byte offsets in the data part. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Parses a header more strictly than JSON.parse: duplicate keys and numbers that lose digits are refused. Like the reference
 * implementation it ignores further fields of a tensor, and reads metadata of null as no metadata.
 * @returns the metadata, and the entries by ascending offset: the first at 0, each where the one before ends
 * @throws Error for text that is not a header, naming the tensor at fault
 */
export function parseHeader(text: string): { entries: HeaderEntry[]; metadata: Record<string, string> } {
  if (text[0] !== "{") throw new Error(`safetensors: header begins with ${quote(text[0] ?? "")}, want "{"`);
  let header: Record<string, unknown>;
  try {
    checkTokens(text);
    header = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Error(`safetensors: header is not JSON: ${error.message}`, { cause: error });
  }
  const metadata = checkMetadata(header.__metadata__ ?? {});
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return { entries: inFileOrder(entries.map(([name, info]) => checkEntry(name, info))), metadata };
}

/**
 * The number of elements of a shape.
 * @throws Error naming `what` when an extent is not an integer ≥ 0, or the product passes 2^53
 */
export function elementCount(shape: readonly unknown[], what: string): number {
  let count = 1;
  for (const extent of shape) {
    if (typeof extent !== "number" || !Number.isSafeInteger(extent) || extent < 0) {
      throw new Error(`safetensors: ${what}: extent ${describe(extent)} in the shape, want whole numbers from 0`);
    }
    count *= extent;
    if (!Number.isSafeInteger(count)) {
      throw new Error(`safetensors: ${what}: shape ${listText(shape)} overflows, want a product below 2^53`);
    }
  }
  return count;
}

/**
 * Refuses names that cannot be a key of the header or of a plain object.
 * @throws Error naming the name
 */
export function checkName(name: string, what: string): void {
  if (name === "__proto__") throw new Error(`safetensors: ${what} "__proto__", want a name that objects can hold`);
  checkText(name, what);
}

/**
 * Refuses text that UTF-8 cannot hold.
 * @throws Error showing the text
 */
export function checkText(text: string, what: string): void {
  if (/\p{Surrogate}/u.test(text)) {
    throw new Error(`safetensors: ${what} ${quote(text)} has half a surrogate pair, want Unicode text`);
  }
}

/** A name in quotes for an error message, cut when long. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
}

/** A list of header values for an error message, cut when long. */
export function listText(values: readonly unknown[]): string {
  const shown = values.slice(0, 8).map(describe).join(", ");
  return values.length > 8 ? `[${shown}, … ${values.length} in all]` : `[${shown}]`;
}

// Refuses what JSON.parse accepts: duplicate keys, of which it keeps the last; long numbers, which it rounds; and 100 MB of
// brackets, on which it spends a minute. It runs first, so `text` need not be JSON.
function checkTokens(text: string): void {
  const scopes: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    const start = i;
    if (c === "{" || c === "[") {
      if (scopes.push(new Set()) > 3) throw new Error("safetensors: header nested 4 deep, want at most 3");
    } else if (c === "}" || c === "]") {
      scopes.pop();
    } else if (c === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
      if (isKey(text, i + 1)) addKey(scopes.at(-1), JSON.parse(text.slice(start, i + 1)));
    } else if (c === "-" || (c >= "0" && c <= "9")) {
      while (i + 1 < text.length && "0123456789+-.eE".includes(text[i + 1]!)) i++;
      checkNumber(text.slice(start, i + 1));
    }
  }
}

function addKey(keys: Set<string> | undefined, key: string): void {
  if (keys?.has(key)) throw new Error(`safetensors: key ${quote(key)} twice in one object, want it once`);
  keys?.add(key);
}

// Numbers that are not integers are refused later, with the name of their tensor.
function checkNumber(token: string): void {
  const value = Number(token);
  if (Number.isInteger(value) && String(value) !== token) {
    throw new Error(`safetensors: number ${token.slice(0, 60)} in the header, want plain digits, below 2^53`);
  }
}

function isKey(text: string, after: number): boolean {
  let i = after;
  while (i < text.length && " \t\n\r".includes(text[i]!)) i++;
  return text[i] === ":";
}

function checkMetadata(metadata: unknown): Record<string, string> {
  if (!isObject(metadata)) {
    throw new Error(`safetensors: __metadata__ is ${describe(metadata)}, want an object of strings`);
  }
  const checked: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata)) {
    checkName(key, "metadata key");
    if (typeof value !== "string") {
      throw new Error(`safetensors: metadata ${quote(key)} is ${describe(value)}, want a string`);
    }
    checkText(value, `metadata ${quote(key)}:`);
    checked[key] = value;
  }
  return checked;
}

function checkEntry(name: string, info: unknown): HeaderEntry {
  checkName(name, "tensor name");
  const what = `tensor ${quote(name)}`;
  if (!isObject(info)) {
    throw new Error(`safetensors: ${what} is ${describe(info)}, want {dtype, shape, data_offsets}`);
  }
  const { dtype, shape, data_offsets: offsets } = info;
  if (typeof dtype !== "string") throw new Error(`safetensors: ${what}: dtype ${describe(dtype)}, want a string`);
  if (!Array.isArray(shape)) throw new Error(`safetensors: ${what}: shape ${describe(shape)}, want a list`);
  elementCount(shape, what);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every((x) => Number.isSafeInteger(x) && x >= 0)) {
    const found = Array.isArray(offsets) ? listText(offsets) : describe(offsets);
    throw new Error(`safetensors: ${what}: data_offsets ${found}, want [begin, end] in bytes`);
  }
  const [begin, end] = offsets;
  if (end < begin) throw new Error(`safetensors: ${what}: data_offsets [${begin}, ${end}] descend, want begin <= end`);
  return { name, dtype, shape, begin, end };
}

function inFileOrder(entries: HeaderEntry[]): HeaderEntry[] {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== covered) {
      const fault = begin < covered ? "overlaps the tensor before it" : "leaves a hole";
      throw new Error(`safetensors: tensor ${quote(name)} begins at ${begin} and ${fault}, want ${covered}`);
    }
    covered = end;
  }
  return entries;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return value === undefined ? "missing" : String(value);
}
