// Copies of plain data that the caller may change afterwards: attributes of ops, settings of regions.

/** The copies that a captured step keeps. */
export class Snapshots {
  private readonly live = new Set<unknown>();

  /** Attributes of a region: they stay as they are, and are found again by identity. */
  addLive(attrs: readonly object[]): void {
    for (const one of attrs) this.live.add(one);
  }

  isLive(attrs: unknown): boolean {
    return this.live.has(attrs);
  }

  of<Attrs>(attrs: Attrs): Attrs {
    return this.live.has(attrs) ? attrs : snapshotOf(attrs);
  }
}

/** A copy of plain data. What is not plain, such as a tensor, is in it as it is. */
export function snapshotOf<Data>(data: Data): Data {
  return copied(data) as Data; // of the same type
}

function copied(data: unknown): unknown {
  if (typeof data !== "object" || data === null) return data;
  if (Array.isArray(data)) return data.map(copied);
  if (ArrayBuffer.isView(data)) return data instanceof DataView ? data : (data as Float32Array).slice();
  if (Object.getPrototypeOf(data) !== Object.prototype) return data;
  const copy: Record<string, unknown> = {};
  for (const name in data) copy[name] = copied((data as Readonly<Record<string, unknown>>)[name]);
  return copy;
}
