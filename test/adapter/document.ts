// docs/adapters.md and the answers that its tables are made of, a file of docs/adapters/ per adapter.
import { readdirSync, readFileSync } from "node:fs";
import { type Recorded, tables } from "./tables.ts";

const BEGIN = "<!-- answers -->\n";
const END = "<!-- end of answers -->";

/** Every adapter that was asked. @param docs the folder of documents */
export function recordedAnswers(docs: string): Recorded[] {
  const files = readdirSync(`${docs}/adapters`).filter((name) => name.endsWith(".json"));
  return files.sort().map((name) => JSON.parse(readFileSync(`${docs}/adapters/${name}`, "utf8")) as Recorded); // our own files
}

/** The document with its tables made anew. @throws Error where it has no place for them */
export function withTables(text: string, all: readonly Recorded[]): string {
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from === -1 || to < from) throw new Error(`adapters.md: no place for the answers, want ${BEGIN.trim()} … ${END}`);
  return `${text.slice(0, from + BEGIN.length)}\n${tables(all)}\n${text.slice(to)}`;
}
