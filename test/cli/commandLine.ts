// The commands as processes, and a data set small enough for them to train on in a test. Not a test.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** How a command ended and what it printed. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

/** Starts a command. */
export function begin(...flags: string[]): ChildProcess {
  return spawn(process.execPath, ["tools/run.mjs", "packages/cli/src/main.ts", ...flags], { cwd: root });
}

/** Waits for the end of a process. */
export async function ended(child: ChildProcess): Promise<Ended> {
  let [out, error] = ["", ""];
  child.stdout?.on("data", (chunk) => (out += chunk));
  child.stderr?.on("data", (chunk) => (error += chunk));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, out, error };
}

/** Runs a command to its end. */
export const tweedie = (...flags: string[]): Promise<Ended> => ended(begin(...flags));

/** A digest of a file's bytes. */
export const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Writes a small data set in MNIST's format into a new directory: bright squares on black, 8 × 8 pixels. */
export function writeSquares(directory: string): void {
  mkdirSync(directory);
  for (const [name, count] of [
    ["train", 50],
    ["t10k", 10],
  ] as const) {
    const images = new Uint8Array(count * 64);
    for (let n = 0; n < count; n++)
      for (let y = 2; y < 6; y++) images.fill(255, n * 64 + y * 8 + (n % 4), n * 64 + y * 8 + (n % 4) + 4);
    const labels = new Uint8Array(count).map((_, n) => n % 10);
    writeFileSync(join(directory, `${name}-images-idx3-ubyte`), idx([count, 8, 8], images));
    writeFileSync(join(directory, `${name}-labels-idx1-ubyte`), idx([count], labels));
  }
}

function idx(dimensions: number[], values: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * dimensions.length));
  header.setUint32(0, 0x0800 | dimensions.length);
  for (const [k, n] of dimensions.entries()) header.setUint32(4 + 4 * k, n);
  return Buffer.concat([new Uint8Array(header.buffer), values]);
}

/** Waits until something is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}
