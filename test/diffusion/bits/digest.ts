// Digests of numbers: a short hash of their bits, and one of them, so that a difference tells how large it is.
import { createHash } from "node:crypto";
import { type Backend, randomStream, type Tensor } from "@pkg/tensor";

/** Numbers of any type: those of equal value have one digest, be they a list, a typed array or a tensor. */
export type Numbers = Tensor | ArrayLike<number>;

/** What one call gives on a backend, by names of its own. */
export type BitCase = (backend: Backend) => Promise<Readonly<Record<string, Numbers>>>;

/** Cases by name: the name says what is computed, not which function is called for it. */
export type BitCases = Readonly<Record<string, BitCase>>;

/** The numbers in float64, which holds those of every type. */
async function read(numbers: Numbers): Promise<Float64Array> {
  return Float64Array.from("data" in numbers ? await numbers.data() : numbers);
}

/** The first 16 hexadecimal digits of the SHA-256 of the numbers in float64, and the first number that is not 0. */
async function digest(numbers: Numbers): Promise<string> {
  const values = await read(numbers);
  const hash = createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex").slice(0, 16);
  return `${hash} ${values.find((value) => value !== 0) ?? 0}`;
}

/** The digests of a case. */
export async function digests(run: BitCase, backend: Backend): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [part, numbers] of Object.entries(await run(backend))) found[part] = await digest(numbers);
  return found;
}

/** The next number of a stream, which tells where it stands. */
export function standing(rng: ReturnType<typeof randomStream>): number[] {
  return [rng.next()];
}

/** A stream that every case begins anew. */
export function stream(): ReturnType<typeof randomStream> {
  return randomStream(11);
}

/** Numbers of several pieces, one after the other. */
export async function joined(pieces: readonly Numbers[]): Promise<Float64Array> {
  const all = await Promise.all(pieces.map(read));
  return Float64Array.from(all.flatMap((values) => [...values]));
}
