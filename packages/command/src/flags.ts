// The flags of a command as a table, and how a command line is read by it. The text of a value stays as typed.

import { parseArgs } from "node:util";
import { InputError } from "./inputError.ts";

/** One flag of a command. */
export interface Flag {
  /** What --help says: the meaning and the unit. The default is appended. */
  readonly help: string;
  /** The value of a flag that is not given. */
  readonly default?: string | number;
  /** Of a number: the smallest and the largest allowed. */
  readonly range?: readonly [number, number];
  /** Of a number: whether the largest is excluded. */
  readonly isOpen?: boolean;
  /** Of a number: whether it must be an integer. */
  readonly integer?: boolean;
  /** Of numbers separated by commas, each in the range; "" for none. */
  readonly isList?: boolean;
  /** Of a word: the allowed words. */
  readonly choices?: readonly string[];
  /** A switch, which takes no value. */
  readonly isSwitch?: boolean;
  /** May be given more than once. */
  readonly isRepeated?: boolean;
  /** A file to write. A path that cannot be written is refused before any work. */
  readonly isOutput?: boolean;
}

/** The flags of a command by name. */
export type FlagTable<Name extends string = string> = Readonly<Record<Name, Flag>>;

/** Checked flags: numbers are in range, words are allowed, and flags that were not given have their default. */
export interface FlagValues<Name extends string = string> {
  /** The value of a number. */
  number(name: Name): number;
  /** The values of a list. */
  numbers(name: Name): number[];
  /** The value of a word. */
  word(name: Name): string;
  /** The values of a flag that may be repeated; none if it was not given. */
  words(name: Name): readonly string[];
  /** The value as typed; undefined if the flag was not given. */
  given(name: Name): string | undefined;
  /** Whether a switch was given. */
  isOn(name: Name): boolean;
}

/** What a command line holds. */
export interface Arguments<Name extends string> {
  readonly flags: FlagValues<Name>;
  /** The words that are not flags. */
  readonly operands: readonly string[];
}

/** The flag that every command has. */
const HELP = { type: "boolean", short: "h" } as const;

/**
 * Reads and checks the words after a command's name.
 * @returns "help" if they ask for it, whatever else they say
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

/** Choices of more characters are listed behind the meaning of a flag, where that does not name them, so that the column of spellings stays narrow. */
const LONGEST_CHOICE = 40;

/** The spelling and the explanation of a flag in --help. */
export function describeFlag(name: string, flag: Flag): { spelling: string; help: string } {
  const { help, default: fallback, choices, isSwitch, range, integer, isList, isRepeated, isOutput } = flag;
  const number = integer ? "n" : "x";
  const words = choices?.join("|");
  const isLong = words !== undefined && words.length > LONGEST_CHOICE;
  const kind = isLong ? "name" : (words ?? (isOutput ? "file" : range ? (isList ? `${number},…` : number) : "value"));
  const shown = fallback === undefined || fallback === "" ? "" : ` (default ${fallback})`;
  const often = isRepeated ? "; may be repeated" : "";
  const isNamed = choices?.every((choice) => help.includes(choice));
  const names = isLong && !isNamed ? `; one of ${choices?.join(", ")}` : "";
  return { spelling: isSwitch ? `--${name}` : `--${name} <${kind}>`, help: `${help}${names}${often}${shown}` };
}

/** The text of a flag's value. @throws InputError when it is not allowed */
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

/** The parts of a list; "" has none. */
function listed(text: string): string[] {
  return text === "" ? [] : text.split(",");
}

function refuse(name: string, value: string | undefined, wanted: string): never {
  throw new InputError(`--${name}${value ? ` ${value}` : ""}: want ${wanted}`);
}
