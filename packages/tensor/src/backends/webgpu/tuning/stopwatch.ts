// How long work takes on a device: by its own timestamps where it has them, else by the clock of the host.

const [MAP_READ, COPY_SRC, COPY_DST, QUERY_RESOLVE] = [1, 4, 8, 0x200];
const MODE_READ = 1;

/**
 * Milliseconds of what `work` queues.
 * @param settled hands it to the device at once, and resolves when it is done
 */
export async function stopwatch(device: GPUDevice, work: () => void, settled: () => Promise<void>): Promise<number> {
  await settled();
  const timestamps = device.features.has("timestamp-query") ? new Timestamps(device) : null;
  const start = performance.now();
  timestamps?.mark(0);
  work();
  const done = settled();
  timestamps?.mark(1);
  await done;
  const byHost = performance.now() - start;
  // A device may round its timestamps so much that nothing is left.
  const byDevice = (await timestamps?.read()) ?? 0;
  return byDevice > 0 ? byDevice : byHost;
}

/** Two timestamps in the order of the queue. */
class Timestamps {
  private readonly device: GPUDevice;
  private readonly querySet: GPUQuerySet;

  constructor(device: GPUDevice) {
    this.device = device;
    this.querySet = device.createQuerySet({ label: "stopwatch", type: "timestamp", count: 2 });
  }

  mark(index: 0 | 1): void {
    const { device, querySet } = this;
    const encoder = device.createCommandEncoder({ label: "stopwatch" });
    encoder.beginComputePass({ timestampWrites: { querySet, endOfPassWriteIndex: index } }).end();
    device.queue.submit([encoder.finish()]);
  }

  /** Milliseconds from the first to the second. */
  async read(): Promise<number> {
    const { device, querySet } = this;
    const resolved = device.createBuffer({ label: "stopwatch", size: 16, usage: QUERY_RESOLVE | COPY_SRC });
    const staging = device.createBuffer({ label: "stopwatch", size: 16, usage: MAP_READ | COPY_DST });
    const encoder = device.createCommandEncoder({ label: "stopwatch" });
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MODE_READ);
    const [begin, end] = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const used of [resolved, staging, querySet]) used.destroy();
    return Number(end - begin) / 1e6;
  }
}
