// Where buffers that are not alive at the same time can share memory.

/** A buffer from the first command that touches it to the last. */
export interface Lifetime {
  readonly size: number;
  readonly first: number;
  readonly last: number;
}

/** Buffers to allocate, and for each lifetime which of them it gets. */
export interface MemoryPlan {
  readonly sizes: readonly number[];
  readonly places: readonly number[];
}

/**
 * Gives lifetimes that overlap different buffers, and the others the same where one fits: the largest first, each to the smallest
 * buffer that is free all the while (Pisarchyk & Lee 2020, "greedy by size").
 */
export function planMemory(lifetimes: readonly Lifetime[]): MemoryPlan {
  const buffers: { size: number; users: Lifetime[] }[] = [];
  const places = new Array<number>(lifetimes.length);
  const order = lifetimes.map((_, k) => k).sort((a, b) => lifetimes[b].size - lifetimes[a].size || a - b);
  for (const k of order) {
    const { first, last, size } = lifetimes[k];
    // Later buffers are smaller, and none is too small: their first users were at least as large.
    let place = buffers.length - 1;
    while (place >= 0 && buffers[place].users.some((user) => user.first <= last && first <= user.last)) place--;
    if (place < 0) place = buffers.push({ size, users: [] }) - 1;
    buffers[place].users.push(lifetimes[k]);
    places[k] = place;
  }
  return { sizes: buffers.map(({ size }) => size), places };
}
