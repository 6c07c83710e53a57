// A command as data, and its answer to a command line: help, one line about a mistake, or a run.

import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { DeviceLostError, OutOfMemoryError } from "@pkg/tensor";
import { dieWithOutput } from "./ending.ts";
import { describeFlag, type FlagTable, type FlagValues, readFlags } from "./flags.ts";
import { ForeseenError } from "./foreseenError.ts";
import { InputError } from "./inputError.ts";

/** A command: its name, its flags, and what it runs. */
export interface Command<Name extends string = string> {
  /** As people type it: "train", "bench:compare". */
  readonly name: string;
  /** What it does, in one sentence. */
  readonly about: string;
  /** Its flags by name. */
  readonly flags: FlagTable<Name>;
  /** Names of the words that are not flags. Each is required once. */
  readonly operands?: readonly string[];
  /** Text that --help shows below the flags. */
  readonly notes?: string;
  /** Whether its output is all it does, so that it ends when nobody reads it. Default: it writes files. */
  readonly onlyPrints?: (flags: FlagValues<Name>) => boolean;
  /** Runs it. @returns the exit code */
  readonly run: (flags: FlagValues<Name>, operands: readonly string[]) => Promise<number>;
}

/** Reads a command line. @returns the help text, or the flags and operands @throws InputError in one line */
export function readArguments<Name extends string>(
  command: Command<Name>,
  words: readonly string[],
): { readonly help: string } | { readonly flags: FlagValues<Name>; readonly operands: readonly string[] } {
  const read = readFlags(command.flags, words);
  if (read === "help") return { help: helpText(command) };
  const wanted = command.operands ?? [];
  if (read.operands.length !== wanted.length) {
    const found = read.operands.length > 0 ? read.operands.join(" ") : "no operands";
    const want = wanted.length > 0 ? wanted.join(" ") : "flags only";
    throw new InputError(`${command.name}: ${found}: want ${want} (--help explains)`);
  }
  return read;
}

/** Runs a command line. @returns the exit code: 2 for a mistake in the command line, 1 for another error */
export async function answer<Name extends string>(command: Command<Name>, words: readonly string[]): Promise<number> {
  try {
    const read = readArguments(command, words);
    if ("help" in read) {
      process.stdout.write(read.help);
      return 0;
    }
    for (const name of Object.keys(command.flags) as Name[]) {
      const path = command.flags[name].isOutput ? read.flags.given(name) : undefined;
      if (path !== undefined) checkWritable(name, path);
    }
    if (command.onlyPrints?.(read.flags)) dieWithOutput();
    return await command.run(read.flags, read.operands);
  } catch (error) {
    return complain(error);
  }
}

/** Runs the command that the first word names. @returns the exit code */
export async function answerOneOf(commands: readonly Command[], words: readonly string[]): Promise<number> {
  const [name, ...rest] = words;
  const command = commands.find((one) => one.name === name);
  if (command) return answer(command, rest);
  if (name === "--help" || name === "-h") {
    process.stdout.write(commands.map(helpText).join("\n"));
    return 0;
  }
  const names = commands.map((one) => one.name).join(", ");
  return complain(new InputError(`${name ?? "no command"}: want one of ${names} (--help explains)`));
}

function helpText({ name, about, flags, operands = [], notes }: Command): string {
  const described = Object.entries(flags).map(([flag, entry]) => describeFlag(flag, entry));
  const rows = [...described, { spelling: "-h, --help", help: "this" }];
  const width = Math.max(...rows.map(({ spelling }) => spelling.length));
  const lines = rows.map(({ spelling, help }) => `  ${spelling.padEnd(width)}  ${help}\n`);
  const usage = [`pnpm ${name}`, ...operands, ...(described.length > 0 ? ["[flags]"] : [])].join(" ");
  return `${usage}\n${about}\n\n${lines.join("")}${notes ? `\n${notes}\n` : ""}`;
}

function checkWritable(name: string, path: string): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) throw new Error("is a directory");
    // Opening one waits for a reader, and no signal ends a process that waits so.
    if (found?.isFIFO() || found?.isSocket()) throw new Error("is a pipe");
    accessSync(found ? path : dirname(path), constants.W_OK);
  } catch (error) {
    throw new InputError(`--${name} ${path}: ${(error as Error).message}, want a file that can be written`);
  }
}

/** Prints an error. @returns the exit code */
function complain(error: unknown): number {
  const isForeseen = error instanceof Error && (isNamed(error) || isTooLarge(error) || isOfFiles(error));
  const text = !(error instanceof Error) ? String(error) : isForeseen ? oneLine(error.message) : error.stack;
  process.stderr.write(`error: ${text ?? error}\n`);
  return error instanceof InputError ? 2 : 1;
}

/** Whether an error can happen without a fault in the program: its message is enough. */
function isNamed(error: Error): boolean {
  return [InputError, ForeseenError, OutOfMemoryError, DeviceLostError].some((named) => error instanceof named);
}

/** Whether V8 refused an array of that length. */
function isTooLarge(error: Error): boolean {
  return (
    error instanceof RangeError && /Invalid (typed )?array (buffer )?length|allocation failed/i.test(error.message)
  );
}

/** Whether the system refused to read or write a file, as a full disk does. */
function isOfFiles(error: Error): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === "string";
}

function oneLine(text: string): string {
  return text.trim().replaceAll(/\s*\n\s*/g, "; ");
}
