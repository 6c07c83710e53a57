// What runs in the browser's page: functions that the tests call, with plain data in and out.
import {
  type Backend,
  bestBackend,
  cpu,
  DeviceLostError,
  detectNonFinite,
  grad,
  liveTensors,
  randomStream,
  tensor,
  wasm,
  webgpu,
} from "@pkg/tensor";
import { LOOPS } from "../../bench/soakLoops.ts";
import { readFound, writeFound } from "../../packages/tensor/src/backends/webgpu/tuning/store.ts";
import { allOps, checkCase, type Finding } from "../tensor/ops/checkCase.ts";
import { drawDigests } from "../tensor/random/draws.ts";

/** The backends of a page. */
export type Kind = keyof typeof openers;

const openers = {
  webgpu: () => webgpu({ poison: true, profile: "direct" }),
  tiled: () => webgpu({ poison: true, profile: "tiled" }),
  wasm: () => wasm({ poison: true, threads: 2 }),
  best: () => bestBackend(),
};
const backends = new Map<Kind, Promise<Backend>>();
let steps = 0;

const program = {
  name: async (kind: Kind): Promise<string> => (await backend(kind)).name,

  async checkCase(kind: Kind, name: string, index: number): Promise<Finding[]> {
    const op = allOps.find((op) => op.name === name);
    if (!op) throw new Error(`page: no op ${name}`);
    return checkCase(op, index, await backend(kind));
  },

  drawDigests: async (kind: Kind): Promise<Record<string, string>> => drawDigests(await backend(kind)),

  /** What was found by timing on two adapters, stored and read again. */
  async tilings(): Promise<unknown> {
    const before = await readFound("test", "A");
    await writeFound("test", "A", new Map([["a", [64, 64, 4]]]));
    await writeFound("test", "B", new Map([["b", [128, 128, 1]]]));
    return [[...before], ...(await readFound("test", "A")), ...(await readFound("test", "B"))];
  },

  /** What two searches for NaN say that wait while the other runs: one makes none, the other an infinity after it has waited. */
  async searches(): Promise<string[]> {
    const on = cpu();
    const x = tensor([0, 1], { backend: on });
    const search = (turns: number, last: () => unknown) =>
      detectNonFinite(async () => {
        for (let k = 0; k < turns; k++) await x.add(k).data();
        last();
      }).then(() => "nothing", String);
    const sync = detectNonFinite(() => x.log()).then(() => "nothing", String);
    return Promise.all([search(3, () => x.add(1)), search(1, () => x.log()), search(0, () => x.add(1)), sync]);
  },

  /** Tasks of the event loop during so many readings, by a clock on which a frame goes by between any two. */
  async turns(kind: Kind, readings: number): Promise<number> {
    const device = await backend(kind);
    const x = tensor([1, 2], { backend: device });
    const clock = performance.now;
    let [now, turns] = [clock.call(performance) + 1000, 0];
    performance.now = () => {
      now += 17;
      return now;
    };
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      turns++;
      port2.postMessage(null);
    };
    port2.postMessage(null);
    for (let k = 0; k < readings; k++) await x.data();
    port1.close();
    performance.now = clock;
    x.dispose();
    return turns;
  },

  /** The most tensors and bytes that a loop without `tidy` held on a new backend. */
  async soak(
    kind: "wasm" | "webgpu",
    loop: keyof typeof LOOPS,
    steps: number,
  ): Promise<{ live: number; bytes: number }> {
    const device = await { wasm, webgpu }[kind]();
    const body = LOOPS[loop](device);
    let live = 0;
    for (let step = 1; step <= steps; step++) {
      await body(step);
      live = Math.max(live, liveTensors());
    }
    const { peakBytes } = device.memory();
    device.dispose();
    return { live, bytes: peakBytes };
  },

  /** The weights after some steps on a new device. */
  async train(steps: number): Promise<number[]> {
    const device = await webgpu();
    const model = regression(device);
    for (let step = 0; step < steps; step++) model.step();
    const weights = [...(await model.weights.data())];
    device.dispose();
    return weights;
  },

  /** Steps of `trainUntilLost` so far. */
  steps: (): number => steps,

  /** Trains until the device is lost; what each way to use it says then. */
  async trainUntilLost(): Promise<{ isDeviceLost: boolean; messages: string[] }> {
    const device = await webgpu();
    const model = regression(device);
    for (steps = 0; ; steps++) {
      try {
        model.step();
        await model.weights.data();
      } catch (first) {
        const errors = [first];
        for (const use of [model.step, () => model.weights.data(), () => device.settled()]) {
          errors.push(await thrownBy(use));
        }
        const messages = errors.map(String);
        return { isDeviceLost: errors.every((error) => error instanceof DeviceLostError), messages };
      }
    }
  },
};

export type Program = typeof program;
Object.assign(globalThis, { program });

function backend(kind: Kind): Promise<Backend> {
  const opened = backends.get(kind) ?? openers[kind]();
  backends.set(kind, opened);
  return opened;
}

/** A linear regression, learnt by gradient descent. */
function regression(on: Backend) {
  const rng = randomStream(1);
  const x = rng.normal([256, 64], { backend: on });
  const y = x.matmul(rng.normal([64, 8], { backend: on }));
  const weights = rng.normal([64, 8], { backend: on });
  const step = (): void => {
    const [slope] = grad((w) => x.matmul(w).sub(y).square().mean(), [weights]);
    weights.assign(weights.sub(slope.mul(0.1)));
  };
  return { weights, step };
}

async function thrownBy(use: () => unknown): Promise<unknown> {
  try {
    await use();
    return new Error("nothing is thrown");
  } catch (error) {
    return error;
  }
}
