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
  writeSet(directory, [8, 8], (n, y, x) => (y >= 2 && y < 6 && x >= n % 4 && x < (n % 4) + 4 ? 255 : 0));
}

/** Writes a small colour data set: squares of red, green and blue that move over a dark ground, 32 × 32 pixels. */
export function writeColours(directory: string): void {
  writeSet(directory, [32, 32, 3], (n, y, x, channel) => {
    const isInside = y >= 8 && y < 24 && x >= n % 16 && x < (n % 16) + 16;
    return isInside && channel === n % 3 ? 255 : 30;
  });
}

/** Writes the four files of a data set, of 50 and 10 images. @param pixel its byte, of image n */
function writeSet(
  directory: string,
  shape: readonly [height: number, width: number, channels?: number],
  pixel: (n: number, y: number, x: number, channel: number) => number,
): void {
  mkdirSync(directory);
  for (const [name, count] of [
    ["train", 50],
    ["t10k", 10],
  ] as const) {
    const [height, width, channels = 1] = shape;
    const images = Uint8Array.from({ length: count * height * width * channels }, (_, i) => {
      const [at, channel] = [Math.floor(i / channels), i % channels];
      return pixel(Math.floor(at / (height * width)), Math.floor(at / width) % height, at % width, channel);
    });
    const labels = new Uint8Array(count).map((_, n) => n % 10);
    writeFileSync(
      join(directory, `${name}-images-idx${1 + shape.length}-ubyte`),
      idx([count, height, width, ...shape.slice(2).map(() => channels)], images),
    );
    writeFileSync(join(directory, `${name}-labels-idx1-ubyte`), idx([count], labels));
  }
}

function idx(dimensions: readonly number[], values: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * dimensions.length));
  header.setUint32(0, 0x0800 | dimensions.length);
  for (const [k, n] of dimensions.entries()) header.setUint32(4 + 4 * k, n);
  return Buffer.concat([new Uint8Array(header.buffer), values]);
}

/** Waits until something is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}
