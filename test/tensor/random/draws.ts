// Each way to draw random numbers, and digests of a million of each: what all backends have to agree on to the bit.
import { addNoise, type Backend, type RandomStream, randomStream, type Tensor } from "@pkg/tensor";

export const MANY = 2 ** 20;

/** Each way to draw, on a backend and on the host. */
export const DRAWS: readonly {
  name: string;
  on: (rng: RandomStream, shape: readonly number[], backend: Backend) => Tensor;
  host: (rng: RandomStream, shape: readonly number[]) => ArrayLike<number>;
}[] = [
  {
    name: "normal",
    on: (rng, shape, backend) => rng.normal(shape, { backend }),
    host: (rng, shape) => rng.host.normal(shape),
  },
  {
    name: "normal of mean −0.3 and std 1.7",
    on: (rng, shape, backend) => rng.normal(shape, { backend, mean: -0.3, std: 1.7 }),
    host: (rng, shape) => rng.host.normal(shape, { mean: -0.3, std: 1.7 }),
  },
  {
    name: "uniform",
    on: (rng, shape, backend) => rng.uniform(shape, { backend }),
    host: (rng, shape) => rng.host.uniform(shape),
  },
  {
    name: "uniform in [−0.1, 0.7)",
    on: (rng, shape, backend) => rng.uniform(shape, { backend, low: -0.1, high: 0.7 }),
    host: (rng, shape) => rng.host.uniform(shape, { low: -0.1, high: 0.7 }),
  },
  {
    name: "integers",
    on: (rng, shape, backend) => rng.integers(-5, 1000, shape, { backend }),
    host: (rng, shape) => rng.host.integers(-5, 1000, shape),
  },
  {
    name: "rademacher",
    on: (rng, shape, backend) => rng.rademacher(shape, { backend }),
    host: (rng, shape) => rng.host.rademacher(shape),
  },
  {
    name: "bernoulli",
    on: (rng, shape, backend) => rng.bernoulli(0.3, shape, { backend }),
    host: (rng, shape) => rng.host.bernoulli(0.3, shape),
  },
];

/** `MANY` elements of data in [−1, 1) with noise added to them. */
export function drawNoisy(backend: Backend): ReturnType<typeof addNoise> {
  const x0 = randomStream(1).uniform([64, MANY / 64], { backend, low: -1 });
  const [signal, noise] = [2, 3].map((seed) => randomStream(seed).uniform([64], { backend }));
  return addNoise(x0, signal, noise, randomStream(7));
}

/** SHA-256 of the bits of `MANY` elements of each kind of draw, by its name. */
export async function drawDigests(backend: Backend): Promise<Record<string, string>> {
  const { noisy, noise } = drawNoisy(backend);
  const digests: Record<string, string> = {
    "noise that addNoise draws": await digest(noise),
    "data with that noise added": await digest(noisy),
  };
  for (const { name, on } of DRAWS) digests[name] = await digest(on(randomStream(7), [4, MANY / 4], backend));
  return digests;
}

/** The bits of values as the device stores them. */
export function bits(values: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  if (values instanceof Uint32Array) return Uint32Array.from(values);
  return new Uint32Array((values instanceof Int32Array ? Int32Array : Float32Array).from(values).buffer);
}

async function digest(x: Tensor): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bits(await x.data())));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
