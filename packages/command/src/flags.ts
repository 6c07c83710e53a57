// Flags of a command as a table, and the words of a command line read by it. A flag's text stays the text that was typed.

import { parseArgs } from "node:util";
import { InputError } from "./inputError.ts";

export interface Flag {
  /** What --help says: meaning, unit; the default is appended. */
  readonly help: string;
  readonly default?: string | number;
  /** For numbers: the smallest and largest allowed. */
  readonly range?: readonly [number, number];
  /** For numbers: whether the largest is itself too large. */
  readonly isOpen?: boolean;
  readonly integer?: boolean;
  /** For numbers separated by commas, each in the range; "" for none. */
  readonly isList?: boolean;
  /** For words: the allowed ones. */
  readonly choices?: readonly string[];
  /** For switches, which take no value. */
  readonly isSwitch?: boolean;
  /** May be given more than once. */
  readonly isRepeated?: boolean;
  /** A file to write: refused before any work where that cannot be. */
  readonly isOutput?: boolean;
}

export type FlagTable<Name extends string = string> = Readonly<Record<Name, Flag>>;

/** Checked flags: numbers are numbers, words are allowed words; what was not given has its default. */
export interface FlagValues<Name extends string = string> {
  number(name: Name): number;
  /** Of a list. */
  numbers(name: Name): number[];
  word(name: Name): string;
  /** Of a flag that may be given more than once; none when it was not given. */
  words(name: Name): readonly string[];
  /** The value as typed, if it was given. */
  given(name: Name): string | undefined;
  isOn(name: Name): boolean;
}

/** What stands on a command line. */
export interface Arguments<Name extends string> {
  readonly flags: FlagValues<Name>;
  /** Words that are no flags. */
  readonly operands: readonly string[];
}

/** Flags that every command has. */
const HELP = { type: "boolean", short: "h" } as const;

/**
 * Reads and checks the words after a command's name.
 * @returns "help" when that is asked for, whatever else was typed
 * @throws InputError naming the flag, its value and what was wanted
 */
export function readFlags<Name extends string>(
  table: FlagTable<Name>,
  words: readonly string[],
): Arguments<Name> | "help" {
  const known = new Map<string, Flag>(Object.entries(table));
  const options = Object.fromEntries(
    [...known].map(([name, { isSwitch }]) => [name, { type: isSwitch ? "boolean" : "string" }] as const),
  );
  // Not strict, so that a value may begin with a minus and every complaint is ours.
  const { tokens, positionals } = parseArgs({
    args: [...words],
    options: { ...options, help: HELP },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const typed = tokens.filter((token) => token.kind === "option");
  if (typed.some(({ name }) => name === "help")) return "help";
  const values = new Map<string, string[]>();
  for (const { name, rawName, value, inlineValue } of typed) {
    const flag = known.get(name);
    if (!flag || !rawName.startsWith("--")) throw new InputError(`${rawName}: no such flag (--help lists them)`);
    const others = values.get(name) ?? [];
    values.set(name, [...others, checked(name, flag, value, inlineValue)]);
    if (others.length > 0 && !flag.isRepeated) refuse(name, [...others, value].join(" and "), "it once");
  }
  const word = (name: Name) => values.get(name)?.[0] ?? String(table[name].default ?? "");
  const flags: FlagValues<Name> = {
    word,
    words: (name) => values.get(name) ?? [],
    number: (name) => Number(word(name)),
    numbers: (name) => listed(word(name)).map(Number),
    given: (name) => values.get(name)?.[0],
    isOn: (name) => values.has(name),
  };
  return { flags, operands: positionals };
}

/** How --help spells and explains a flag. */
export function describeFlag(name: string, flag: Flag): { spelling: string; help: string } {
  const { help, default: fallback, choices, isSwitch, range, integer, isList, isRepeated, isOutput } = flag;
  const number = integer ? "n" : "x";
  const kind = choices?.join("|") ?? (isOutput ? "file" : range ? (isList ? `${number},…` : number) : "value");
  const shown = fallback === undefined || fallback === "" ? "" : ` (default ${fallback})`;
  const often = isRepeated ? "; may be repeated" : "";
  return { spelling: isSwitch ? `--${name}` : `--${name} <${kind}>`, help: `${help}${often}${shown}` };
}

/** The text of a flag's value. @throws InputError when it is not as the table says */
function checked(name: string, flag: Flag, value: string | undefined, isInline: boolean | undefined): string {
  const { choices, isSwitch, range } = flag;
  if (isSwitch) return value === undefined ? "true" : refuse(name, value, "it without a value");
  if (value === "" && flag.default === "") return value;
  if (choices) return choices.includes(value ?? "") ? String(value) : refuse(name, value, choices.join(" or "));
  if (range) return checkedNumbers(name, flag, range, value);
  if (!value) return refuse(name, value, "a value");
  // Rather the next flag than a name.
  if (value.startsWith("-") && !isInline) return refuse(name, value, `a value (--${name}=${value} if this is it)`);
  if (value.includes("\0")) return refuse(name, JSON.stringify(value), "a value without a character of code 0");
  return value;
}

function checkedNumbers(
  name: string,
  flag: Flag,
  [least, most]: readonly [number, number],
  value: string | undefined,
): string {
  const { integer, isOpen, isList } = flag;
  const parts = isList && value ? listed(value) : [value ?? ""];
  const fits = (text: string) => {
    const number = text.trim() === "" ? Number.NaN : Number(text);
    return number >= least && (isOpen ? number < most : number <= most) && (!integer || Number.isInteger(number));
  };
  if (value !== undefined && parts.every(fits)) return value;
  const one = integer ? "an integer" : "a number";
  const many = integer ? "integers" : "numbers";
  const interval = `in [${least}, ${most}${isOpen ? ")" : "]"}`;
  return refuse(name, value, isList ? `${many} separated by commas, each ${interval}` : `${one} ${interval}`);
}

/** The parts of a list; none of "". */
function listed(text: string): string[] {
  return text === "" ? [] : text.split(",");
}

function refuse(name: string, value: string | undefined, wanted: string): never {
  throw new InputError(`--${name}${value ? ` ${value}` : ""}: want ${wanted}`);
}
