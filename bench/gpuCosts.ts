// What WebGPU costs the host, whatever the kernels: encoding, bind groups, reading back, uploading.

const CALLS = 1000;
const ROUNDS = 7;
const [MAP_READ, COPY_SRC, COPY_DST, STORAGE] = [1, 4, 8, 0x80];
const UPLOAD = 2 ** 26;

/** Medians, in microseconds unless named otherwise. */
export interface GpuCosts {
  /** Encoding an empty dispatch with a cached bind group, of 1000 in a pass. */
  readonly encodeDispatch: number;
  /** The same until it has run. */
  readonly runDispatch: number;
  readonly bindGroup: number;
  /** Milliseconds from a submit until 4 bytes are on the host. */
  readonly readbackMs: number;
  /** Bytes/s of writeBuffer with 64 MB, until they are there. */
  readonly upload: number;
}

export async function measureGpuCosts(device: GPUDevice): Promise<GpuCosts> {
  const code = "@group(0) @binding(0) var<storage, read_write> y: array<f32>; @compute @workgroup_size(1) fn main() {";
  const module = device.createShaderModule({ label: "nothing", code: `${code} _ = &y; }` });
  const pipeline = device.createComputePipeline({ label: "nothing", layout: "auto", compute: { module } });
  const layout = pipeline.getBindGroupLayout(0);
  const buffer = device.createBuffer({ label: "nothing", size: UPLOAD, usage: STORAGE | COPY_SRC | COPY_DST });
  const staging = device.createBuffer({ label: "read back", size: 4, usage: MAP_READ | COPY_DST });
  const newGroup = () => device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer, size: 256 } }] });
  const group = newGroup();
  const done = () => device.queue.onSubmittedWorkDone();

  const encodes: number[] = [];
  const runs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    for (let k = 0; k < CALLS; k++) {
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(1);
    }
    pass.end();
    const commands = encoder.finish();
    encodes.push(performance.now() - began);
    device.queue.submit([commands]);
    await done();
    runs.push(performance.now() - began);
  }
  const bindGroups = await rounds(() => {
    for (let k = 0; k < CALLS; k++) newGroup();
  });
  const readbacks = await rounds(async () => {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, 4);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    staging.unmap();
  });
  const data = new Uint8Array(UPLOAD);
  const uploads = await rounds(async () => {
    device.queue.writeBuffer(buffer, 0, data);
    device.queue.submit([]);
    await done();
  });
  buffer.destroy();
  staging.destroy();
  const middle = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1];
  return {
    encodeDispatch: (middle(encodes) / CALLS) * 1000,
    runDispatch: (middle(runs) / CALLS) * 1000,
    bindGroup: (middle(bindGroups) / CALLS) * 1000,
    readbackMs: middle(readbacks),
    upload: UPLOAD / (middle(uploads) / 1000),
  };
}

/** Milliseconds of each of some rounds. */
async function rounds(work: () => unknown): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    await work();
    times.push(performance.now() - began);
  }
  return times;
}
