// The log of a training run: one line of JSON per step, which outlives kills, resumes and full disks. Not messages: numbers only.
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomic } from "./atomicFile.ts";
import { isRegularFile } from "./regularFile.ts";

/** What is logged of one step: its number, from 0, and whatever was measured. */
export interface LogRecord {
  readonly step: number;
  readonly [measure: string]: number;
}

/** An open log. */
export interface RunLog {
  /**
   * Adds a line. Where it cannot be written (a full disk) it waits, and is tried again with the next.
   * @throws Error when its step is not past the last one's
   */
  append(record: LogRecord): void;
  /** Writes what waits, and the whole log anew where its file was removed or moved away. @throws Error with the reason if that fails */
  flush(): void;
  close(): void;
}

/**
 * Opens a log to append to, and makes its directory. Records of `firstStep` and later go, atomically: they come from
 * before a kill, and the run repeats those steps. So `firstStep` 0 begins a new log.
 * @throws Error naming the line, when the file is no such log
 */
export function openRunLog(path: string, firstStep: number): RunLog {
  mkdirSync(dirname(path), { recursive: true });
  const text = readText(path);
  const kept = parseLines(text, path).filter(({ record }) => record.step < firstStep);
  const keptText = kept.map(({ line }) => `${line}\n`).join("");
  if (keptText !== text) writeFileAtomic(path, new TextEncoder().encode(keptText));
  let lastStep = kept.at(-1)?.record.step ?? -1;
  let file = openSync(path, "a+");
  let size = fstatSync(file).size;
  let waiting = "";

  const write = (): void => {
    const bytes = new TextEncoder().encode(waiting);
    try {
      writeAll(file, bytes);
    } catch (error) {
      ftruncateSync(file, size); // no part of a line stays
      throw error;
    }
    size += bytes.length;
    waiting = "";
  };
  return {
    append(record) {
      if (!Number.isSafeInteger(record.step) || record.step <= lastStep) {
        throw new Error(`runLog: step ${record.step} after step ${lastStep}, want whole steps that increase`);
      }
      lastStep = record.step;
      waiting += `${JSON.stringify(record, spellOut)}\n`;
      try {
        write();
      } catch {} // flush tells
    },
    flush() {
      if (!isAt(path, file)) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileAtomic(path, readAll(file, size));
        closeSync(file);
        file = openSync(path, "a+");
      }
      if (waiting !== "") write();
    },
    close() {
      closeSync(file);
    },
  };
}

/**
 * Reads a log, also while it is written. A last line without its end, which a kill can leave, does not count.
 * @returns the records by ascending step; none when there is no file
 * @throws Error naming the line, when the file is no such log
 */
export function readRunLog(path: string): LogRecord[] {
  return parseLines(readText(path), path).map(({ record }) => record);
}

function readText(path: string): string {
  return isRegularFile(path) ? readFileSync(path, "utf8") : "";
}

/** Whether a path leads to an open file. */
function isAt(path: string, file: number): boolean {
  const [found, open] = [statSync(path, { throwIfNoEntry: false }), fstatSync(file)];
  return found !== undefined && found.ino === open.ino && found.dev === open.dev;
}

/** The first `size` bytes of an open file. */
function readAll(file: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const got = readSync(file, bytes, at, size - at, at);
    if (got === 0) throw new Error("runLog: the file became shorter, want it left to the training");
    at += got;
  }
  return bytes;
}

function parseLines(text: string, path: string): { line: string; record: LogRecord }[] {
  const complete = text.split("\n").slice(0, -1);
  let lastStep = -1;
  return complete.map((line, index) => {
    const record = parseRecord(line);
    if (record === undefined || record.step <= lastStep) {
      const shown = line.length > 80 ? `${line.slice(0, 80)}…` : line;
      throw new Error(`runLog: ${path}: line ${index + 1} is ${shown}, want {"step": …} past step ${lastStep}`);
    }
    lastStep = record.step;
    return { line, record };
  });
}

function parseRecord(line: string): LogRecord | undefined {
  let record: unknown;
  try {
    record = JSON.parse(line, readSpelled);
  } catch {
    return undefined;
  }
  return isRecord(record) ? record : undefined;
}

function isRecord(value: unknown): value is LogRecord {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((x) => typeof x === "number") && Number.isSafeInteger((value as LogRecord).step);
}

// JSON has no NaN and would say null; a log of a diverged run should say what happened.
function spellOut(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function readSpelled(_: string, value: unknown): unknown {
  return value === "NaN" || value === "Infinity" || value === "-Infinity" ? Number(value) : value;
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(file, bytes, at);
  }
}
