// Images as rows of patches, and back.

import { ShapeError, Tensor, wrongArgument } from "@pkg/tensor";
import { expectCount } from "../module/init.ts";

/**
 * Cuts images into squares, row by row: the tokens of a transformer (Dosovitskiy et al. 2021, arXiv:2010.11929). A patch is a row
 * of its pixels, row by row, each with its channels.
 * @param images [batch, height, width, channels]
 * @param patch the side of a square, a divisor of height and width
 * @returns [batch, height / patch · width / patch, patch · patch · channels]
 * @throws ShapeError for images of another rank, or a side that does not divide them
 */
export function patchify(images: Tensor, patch: number): Tensor {
  expectTensor("patchify", "images", images);
  expectCount("patchify", "patch", patch);
  if (images.rank !== 4)
    throw new ShapeError(`patchify: images of shape [${images.shape}], want [batch, height, width, channels]`);
  const [batch, height, width, channels] = images.shape;
  const [rows, columns] = patchGrid("patchify", height, width, patch);
  return images
    .reshape([batch, rows, patch, columns, patch, channels])
    .permute([0, 1, 3, 2, 4, 5])
    .reshape([batch, rows * columns, patch * patch * channels]);
}

/**
 * Puts patches together again: the inverse of `patchify`.
 * @param patches [batch, tokens, patch · patch · channels]
 * @param size height and width of the images, and the side of a patch
 * @returns [batch, height, width, channels]
 * @throws ShapeError when the patches do not make such images
 */
export function unpatchify(
  patches: Tensor,
  size: { readonly height: number; readonly width: number; readonly patch: number },
): Tensor {
  expectTensor("unpatchify", "patches", patches);
  if (typeof size !== "object" || size === null)
    throw wrongArgument("unpatchify", "size", size, "{ height, width, patch }");
  const { height, width, patch } = size;
  for (const [name, value] of Object.entries({ height, width, patch })) expectCount("unpatchify", name, value);
  const [rows, columns] = patchGrid("unpatchify", height, width, patch);
  const [batch, tokens, length] = patches.shape;
  const channels = length / patch ** 2;
  if (patches.rank !== 3 || tokens !== rows * columns || !Number.isInteger(channels))
    throw new ShapeError(
      `unpatchify: patches of shape [${patches.shape}] for ${height} × ${width} in patches of ${patch}, want [batch, ${rows * columns}, a multiple of ${patch ** 2}]`,
    );
  return patches
    .reshape([batch, rows, columns, patch, patch, channels])
    .permute([0, 1, 3, 2, 4, 5])
    .reshape([batch, height, width, channels]);
}

/** How many patches images have down and across. @throws ShapeError when the patches do not divide them */
export function patchGrid(name: string, height: number, width: number, patch: number): [rows: number, columns: number] {
  if (height < 1 || width < 1 || height % patch !== 0 || width % patch !== 0)
    throw new ShapeError(
      `${name}: patches of ${patch} in images of ${height} × ${width}, want a divisor of height and width`,
    );
  return [height / patch, width / patch];
}

function expectTensor(name: string, argument: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) throw wrongArgument(name, argument, value, "a tensor");
}
