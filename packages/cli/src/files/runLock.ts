// That one process at a time trains into a folder. Each lays a file there under a name of its own, and then looks for others'.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../inputError.ts";
import { WriteError } from "./atomicFile.ts";
import { isAlive, isHere, OWN, OWNER, SILENT } from "./owner.ts";

export interface RunLock {
  /** Makes the folder and the file again, should they be gone. @throws WriteError when they cannot be, or another process trains there now */
  hold(): void;
  /** Takes the file away. */
  release(): void;
}

const NAME = new RegExp(`^\\.tweedie-run-(${OWNER.source})\\.lock$`);
const TRIES = 4;
const SIGN_EVERY = 10_000;

const held = new Set<string>();

/**
 * Since a name is one process's alone, no other process ever makes or replaces the file, and what dead ones left can be removed without a
 * race. Of two that begin at once both may see each other; both step back then, and try again after times of their own.
 * @param directory there already
 * @throws InputError naming the process that trains into it
 */
export async function lockRun(directory: string): Promise<RunLock> {
  const path = join(directory, `.tweedie-run-${OWN}.lock`);
  for (let attempt = 1; ; attempt++) {
    const other = held.has(path) ? { owner: OWN, silent: 0 } : claim(directory, path);
    if (!other) break;
    if (attempt === TRIES)
      throw new InputError(`--out ${directory}: ${describe(other)}, want another folder, or its end`);
    await new Promise((resolve) => setTimeout(resolve, 20 + 100 * Math.random()));
  }
  held.add(path);
  const sign = setInterval(() => giveSign(path), SIGN_EVERY).unref();
  const release = () => {
    clearInterval(sign);
    held.delete(path);
    process.off("exit", release);
    try {
      rmSync(path, { force: true });
    } catch {} // the folder is gone, and whoever finds the file knows that this process is too
  };
  process.on("exit", release);
  return {
    hold() {
      if (existsSync(path)) return;
      try {
        mkdirSync(directory, { recursive: true });
        const other = claim(directory, path);
        if (other) throw new Error(describe(other));
      } catch (error) {
        throw new WriteError(`${directory}: ${(error as Error).message}`, { cause: error });
      }
    },
    release,
  };
}

interface Other {
  readonly owner: string;
  /** Seconds since its last sign of life, by the clock of the disk. */
  readonly silent: number;
}

/** Lays the file; takes it away again where another living process has one. */
function claim(directory: string, path: string): Other | undefined {
  writeFileSync(path, "");
  const now = statSync(path).mtimeMs;
  for (const name of readdirSync(directory)) {
    const owner = NAME.exec(name)?.[1];
    if (owner === undefined || owner === OWN) continue;
    const file = join(directory, name);
    const silent = (now - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0)) / 1000;
    if (isAlive(owner, silent)) {
      rmSync(path, { force: true });
      return { owner, silent };
    }
    rmSync(file, { force: true });
  }
  return undefined;
}

function describe({ owner, silent }: Other): string {
  if (isHere(owner)) return `process ${owner.split("-")[0]} trains into it`;
  const seconds = Math.max(0, silent).toFixed(0);
  return `a process of another machine or container trained into it ${seconds} s ago (it counts as ended after ${SILENT} s of silence)`;
}

/** Writes, so that the disk gives the time by which others count: clocks of machines differ, and jump. */
function giveSign(path: string): void {
  try {
    if (existsSync(path)) writeFileSync(path, ".");
  } catch {} // the next save finds out why
}
