// How far two point clouds are apart.

/**
 * The squared energy distance 2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ (Székely & Rizzo 2013) of two clouds of points in the plane, unbiased:
 * about 0, of either sign, for clouds of one distribution, above 0 for others.
 * @param a [n, 2], row-major
 * @param b [m, 2]
 */
export function energyDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return 2 * between(a, b) - within(a) - within(b);
}

function between(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 2)
    for (let j = 0; j < b.length; j += 2) sum += Math.hypot(a[i] - b[j], a[i + 1] - b[j + 1]);
  return sum / ((a.length / 2) * (b.length / 2));
}

function within(a: ArrayLike<number>): number {
  const n = a.length / 2;
  return (between(a, a) * n) / (n - 1);
}
