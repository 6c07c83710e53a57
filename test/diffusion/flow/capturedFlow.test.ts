// Solvers with steps of their own on flows, captured, stopped and resumed: the same bits.
import {
  eulerMaruyama,
  finalSample,
  finalState,
  flowPath,
  parseSampleState,
  rungeKutta,
  type Sampler,
  sample,
  serializeSampleState,
  uniPc,
  vpInterpolant,
} from "@pkg/diffusion";
import { mlp } from "@pkg/nn";
import { type Backend, randomStream } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { plainly } from "../../setup/plainly.ts";

const SAMPLERS: Readonly<Record<string, () => Sampler>> = {
  eulerMaruyama: () => eulerMaruyama(flowPath({ steps: 6 })),
  "eulerMaruyama with a g of its own": () =>
    eulerMaruyama(flowPath({ steps: 6, interpolant: vpInterpolant(), clip: true }), { diffusion: (t) => 1 - t }),
  rungeKutta: () => rungeKutta(flowPath({ steps: 6, shift: 3 })),
  uniPc: () => uniPc(flowPath({ steps: 6 })),
};

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test.each(Object.entries(SAMPLERS))("%s", async (_, of) => {
      const config = { sizes: [2, 16, 2], timeChannels: 8, timeEmbedding: { scale: 1000 } };
      const model = mlp(config, { backend, rng: randomStream(1) });
      const rng = randomStream(4);
      const whole = async () => [
        ...(await (await finalSample(sample(of(), model, [3, 2], randomStream(4), { backend }))).data()),
      ];
      const wanted = await plainly(backend, whole);
      expect(await whole()).toEqual(wanted);
      const stopped = await finalState(sample(of(), model, [3, 2], rng, { backend, until: 3 }));
      const { state, rng: saved } = parseSampleState(await serializeSampleState(stopped, rng), backend);
      const later = randomStream(0);
      later.restore(saved);
      expect([...(await (await finalSample(sample(of(), model, [3, 2], later, { from: state }))).data())]).toEqual(
        wanted,
      );
    });
  });
}
