// A PNG file read by the standard's words and not by the encoder's library. Not a test.
import { inflateSync } from "node:zlib";
import { expect } from "vitest";

/** The bytes of each row of an 8-bit, not interlaced and not filtered PNG. */
export function rows(png: Uint8Array): number[][] {
  const file = Buffer.from(png);
  expect([...file.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks: { type: string; data: Buffer }[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    const length = file.readUInt32BE(at);
    chunks.push({ type: file.toString("latin1", at + 4, at + 8), data: file.subarray(at + 8, at + 8 + length) });
  }
  expect(chunks.at(-1)!.type).toBe("IEND");
  const header = chunks[0]!.data;
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const channels = { 0: 1, 2: 3 }[header[9]!]!; // colour types: grey, RGB
  expect([chunks[0]!.type, header[8], header[12]]).toEqual(["IHDR", 8, 0]);
  const data = inflateSync(Buffer.concat(chunks.filter(({ type }) => type === "IDAT").map((chunk) => chunk.data)));
  const stride = 1 + width * channels;
  expect(data.length).toBe(height * stride);
  return Array.from({ length: height }, (_, y) => {
    expect(data[y * stride]).toBe(0);
    return [...data.subarray(y * stride + 1, (y + 1) * stride)];
  });
}
