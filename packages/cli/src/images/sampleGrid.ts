// Draws images from trained weights and writes them as one PNG.

import { writeFileAtomic } from "../files/atomicFile.ts";
import type { ImageNetwork } from "../networks/network.ts";
import type { Settings } from "../settings/settings.ts";
import { type DrawRequest, drawImages, type OnStep } from "./drawImages.ts";
import { gridPng } from "./imageGrid.ts";

export interface GridRequest extends DrawRequest {
  /** The PNG to write. */
  readonly path: string;
}

/**
 * Writes `count` images side by side.
 * @returns whether it was stopped by `signal`; nothing is written then
 */
export async function writeGrid(
  model: ImageNetwork,
  settings: Settings,
  image: { readonly height: number; readonly width: number },
  request: GridRequest,
  signal: AbortSignal,
  onStep: OnStep,
): Promise<boolean> {
  const pixels = await drawImages(model, settings, image, request, signal, onStep);
  if (!pixels) return true;
  const { count, path } = request;
  const grid = { count, height: image.height, width: image.width, channels: settings.model.inChannels };
  writeFileAtomic(path, gridPng(pixels, grid, Math.ceil(Math.sqrt(count)), { zoom: 2 }));
  return false;
}
