// Point clouds in the plane that small networks learn in seconds. Each has about zero mean and unit variance.

import type { RandomStream } from "@pkg/tensor";

/** Draws n points: [n, 2], row-major. */
export type PointCloud = (n: number, rng: RandomStream) => Float32Array;

/** Eight Gaussians of standard deviation 0.1 on a circle of radius √2. */
export const eightGaussians: PointCloud = (n, rng) => {
  const [which, noise] = [rng.host.integers(0, 8, [n]), rng.host.normal([n, 2])];
  return points(n, (i) => {
    const angle = (which[i] * Math.PI) / 4;
    return [Math.SQRT2 * Math.cos(angle) + 0.1 * noise[2 * i], Math.SQRT2 * Math.sin(angle) + 0.1 * noise[2 * i + 1]];
  });
};

/** Two half circles that reach into each other, with noise of standard deviation 0.08. */
export const twoMoons: PointCloud = (n, rng) => {
  const [which, along, noise] = [rng.host.integers(0, 2, [n]), rng.host.uniform([n]), rng.host.normal([n, 2])];
  return points(n, (i) => {
    const angle = Math.PI * along[i];
    const [x, y] =
      which[i] === 0
        ? [Math.cos(angle) - 0.5, Math.sin(angle) - 0.25]
        : [0.5 - Math.cos(angle), 0.25 - Math.sin(angle)];
    return [1.15 * x + 0.08 * noise[2 * i], 1.9 * y + 0.08 * noise[2 * i + 1]];
  });
};

/** A spiral of one and a half turns, with noise of standard deviation 0.05. */
export const swissRoll: PointCloud = (n, rng) => {
  const [along, noise] = [rng.host.uniform([n]), rng.host.normal([n, 2])];
  return points(n, (i) => {
    const angle = 1.5 * Math.PI * (1 + 2 * along[i]);
    return [
      0.14 * angle * Math.cos(angle) + 0.05 * noise[2 * i],
      0.14 * angle * Math.sin(angle) + 0.05 * noise[2 * i + 1],
    ];
  });
};

/** Every other square of a board of 4 × 4 in [−√3, √3]². */
export const checkerboard: PointCloud = (n, rng) => {
  const [square, within] = [rng.host.integers(0, 8, [n]), rng.host.uniform([n, 2])];
  const side = Math.sqrt(3) / 2;
  return points(n, (i) => {
    const row = square[i] >> 1;
    const column = 2 * (square[i] & 1) + (row & 1);
    return [(column + within[2 * i] - 2) * side, (row + within[2 * i + 1] - 2) * side];
  });
};

function points(n: number, at: (i: number) => readonly [number, number]): Float32Array {
  const values = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) values.set(at(i), 2 * i);
  return values;
}
