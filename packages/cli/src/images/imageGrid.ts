// Samples as one PNG picture, in rows and columns. Not a decoder, and no colour management.
import { encode } from "fast-png";

/** The extents of a batch of images: [count, height, width, channels], 1 channel for grey or 3 for RGB. */
export interface ImageBatchShape {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** How a grid is drawn: `zoom` output pixels per image pixel, `gap` output pixels of white between images. */
export interface GridOptions {
  readonly zoom?: number;
  readonly gap?: number;
}

const WHITE = 255;

/**
 * Draws images row by row into a grid.
 * @param images [count, height, width, channels] in [-1, 1], from black to full; values outside are clamped
 * @param columns images per row; the places that the last row lacks stay white
 * @returns the bytes of an 8-bit PNG file
 * @throws Error when shape and data disagree, or a value is NaN or infinite
 */
export function gridPng(
  images: Float32Array,
  { count, height, width, channels }: ImageBatchShape,
  columns: number,
  { zoom = 1, gap = 2 }: GridOptions = {},
): Uint8Array {
  for (const [name, value, least] of [
    ["count", count, 1],
    ["height", height, 1],
    ["width", width, 1],
    ["columns", columns, 1],
    ["zoom", zoom, 1],
    ["gap", gap, 0],
  ] as const) {
    if (!Number.isInteger(value) || value < least) {
      throw new Error(`gridPng: ${name} ${value}, want a whole number from ${least}`);
    }
  }
  if (channels !== 1 && channels !== 3) throw new Error(`gridPng: ${channels} channels, want 1 or 3`);
  if (images.length !== count * height * width * channels) {
    const shape = [count, height, width, channels].join(", ");
    throw new Error(`gridPng: ${images.length} values for [${shape}], want ${count * height * width * channels}`);
  }
  const pixels = Uint8Array.from(images, toByte);
  const across = Math.min(columns, count);
  const gridWidth = across * (width * zoom + gap) - gap;
  const gridHeight = Math.ceil(count / across) * (height * zoom + gap) - gap;
  const grid = new Uint8Array(gridWidth * gridHeight * channels).fill(WHITE);
  for (let image = 0; image < count; image++) {
    const left = (image % across) * (width * zoom + gap);
    const top = Math.floor(image / across) * (height * zoom + gap);
    for (let y = 0; y < height * zoom; y++) {
      for (let x = 0; x < width * zoom; x++) {
        const from = ((image * height + Math.floor(y / zoom)) * width + Math.floor(x / zoom)) * channels;
        const to = ((top + y) * gridWidth + left + x) * channels;
        for (let channel = 0; channel < channels; channel++) {
          grid[to + channel] = pixels[from + channel]!;
        }
      }
    }
  }
  return encode({ width: gridWidth, height: gridHeight, data: grid, channels, depth: 8 });
}

function toByte(value: number, index: number): number {
  if (!Number.isFinite(value)) throw new Error(`gridPng: value ${value} at ${index}, want finite values`);
  return Math.round((Math.min(Math.max(value, -1), 1) + 1) * 127.5);
}
