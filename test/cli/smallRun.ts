// A training run small enough to make in a test, its checkpoint, and files made from that by changing the header. Not a test.
import { readFileSync, writeFileSync } from "node:fs";
import type { Backend } from "@pkg/tensor";
import type { LabelledImages } from "../../packages/cli/src/images/mnist.ts";
import type { Settings } from "../../packages/cli/src/settings/settings.ts";
import { newRun, type Run, saveRun, trainStep } from "../../packages/cli/src/training/run.ts";

export const SMALL: Settings = {
  model: { inChannels: 1, channels: 2, multipliers: [1, 2], blocks: 1, attentionLevels: [1], classes: 10 },
  schedule: "cosine",
  diffusionSteps: 10,
  batch: 4,
  lr: 1e-3,
  warmup: 2,
  clipNorm: 1,
  emaDecay: 0.9,
  seed: 3,
  labelDropout: 0.1,
};

/** The same with a diffusion transformer. */
export const SMALL_DIT: Settings = {
  ...SMALL,
  network: "dit",
  model: { inChannels: 1, patch: 4, channels: 8, depth: 1, heads: 2, timeChannels: 4, classes: 10 },
};

export const smallRun = (backend: Backend, settings: Settings = SMALL): Run =>
  newRun(settings, { height: 8, width: 8 }, backend);

/** Writes a checkpoint of a run without steps. */
export async function saveSmall(path: string, backend: Backend, settings?: Settings): Promise<void> {
  await saveRun(path, smallRun(backend, settings));
}

/** Twenty grey images of 8 × 8. */
export const IMAGES: LabelledImages = {
  images: new Uint8Array(20 * 64).map((_, k) => (k % 7) * 40),
  labels: new Uint8Array(20).map((_, k) => k % 10),
  count: 20,
  height: 8,
  width: 8,
  channels: 1,
};

/** Trains a run on `IMAGES` until it has so many steps, and writes its checkpoint. @returns its path */
export async function savedAfter(run: Run, steps: number, path: string): Promise<string> {
  while (run.optimizer.steps < steps) await trainStep(run, IMAGES);
  await saveRun(path, run);
  return path;
}

interface FileHeader {
  __metadata__: Record<string, string>;
  [tensor: string]: unknown;
}

/** A safetensors file's header, and its data. */
export function partsOf(path: string): { header: FileHeader; data: Uint8Array } {
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  return { header: JSON.parse(bytes.subarray(8, end).toString()), data: bytes.subarray(end) };
}

/** Writes a safetensors file of a header, given as an object or as text, and data. */
export function writeParts(path: string, header: FileHeader | string, data: Uint8Array): void {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, data]));
}
