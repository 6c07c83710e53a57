// A training step that fails, wherever it does, has done nothing: tensors, streams, counts, moments and averages are what they were.
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, mlp, parameters } from "@pkg/nn";
import { allOrNothing, type Backend, capture, dropout, OutOfMemoryError, randomStream, tensor } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";
import { collected, failFrom, filled, stateOf, tells } from "../setup/failing.ts";

const schedule = cosine(100);
/** In bytes: some times what the training takes, in pieces of 256. */
const BUDGET = 2 ** 18;

/** A small training: of points in the plane, by a perceptron with dropout. */
function training(backend: Backend, lossScaling = false) {
  const rng = randomStream(7);
  const network = mlp({ sizes: [2, 6, 6, 2], timeChannels: 4 }, { backend, rng });
  const optimizer = adamW(parameters(network), { lr: 1e-2, clipNorm: 1, weightDecay: 0.1, lossScaling });
  const average = ema(network);
  const x0 = tensor([1, 2, 3, 4, 5, 6], { backend, shape: [3, 2] });
  const model = {
    parameters: network,
    forward: (...[x, times]: Parameters<typeof network.forward>) => network.forward(dropout(x, 0.1, rng), times),
  };
  const update = () => optimizer.minimize(() => noisePrediction(model, schedule, x0, rng)).dispose();
  const whole = () => {
    update();
    average.update();
  };
  const lasting = () => [...parameters(network), ...optimizer.state().values(), ...average.state().values()];
  const state = async () => ({
    ...((await stateOf(backend, lasting())) as object),
    stream: rng.state(),
    steps: optimizer.steps,
    updates: average.updates,
  });
  const dispose = () => {
    for (const t of [...lasting(), x0]) t.dispose();
  };
  return { update, average, whole, state, dispose, rng, optimizer, model, x0 };
}

/** What a step can be run as. */
const ways: { name: string; steps: (t: ReturnType<typeof training>) => (() => void)[] }[] = [
  { name: "an update", steps: ({ update }) => [update] },
  { name: "an update of the average", steps: ({ average }) => [average.update] },
  { name: "both as one step", steps: ({ whole }) => [() => allOrNothing(whole)] },
  { name: "both, captured", steps: ({ whole }) => [capture(whole)] },
];

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open({ budget: BUDGET });
    });
    afterAll(() => backend?.dispose());

    for (const lossScaling of [false, true]) {
      test.each(ways)(
        `$name fails at each of its allocations, and has done nothing${lossScaling ? ", with loss scaling" : ""}`,
        async ({ steps }) => {
          await collected();
          const [disturbed, twin] = [training(backend, lossScaling), training(backend, lossScaling)];
          const [[step], [undisturbed]] = [steps(disturbed), steps(twin)];
          let failures = 0;
          // The first step copies what the average shares with the parameters, the third replays.
          for (let k = 0; k < 3; k++) {
            const before = await disturbed.state();
            for (let n = 1; failFrom(backend, n, step); n++) {
              expect(await disturbed.state(), `step ${k}, allocation ${n}`).toEqual(before);
              failures++;
            }
            undisturbed();
          }
          expect(failures).toBeGreaterThan(2);
          const [found, wanted] = [await disturbed.state(), await twin.state()];
          expect(found).toEqual(wanted);
          disturbed.dispose();
          twin.dispose();
        },
      );
    }

    test.each(ways)(
      "$name fails in every room that the budget does not leave, and has done nothing",
      async ({ steps }) => {
        await collected();
        const [disturbed, twin] = [training(backend), training(backend)];
        const [[step], [undisturbed]] = [steps(disturbed), steps(twin)];
        let failures = 0;
        for (let k = 0; k < 3; k++) {
          const filling = filled(backend);
          for (;;) {
            const before = await disturbed.state();
            if (!tells(OutOfMemoryError, step)) break;
            expect(await disturbed.state(), `step ${k}, ${filling.length} blocks filled`).toEqual(before);
            failures++;
            filling.pop()?.dispose();
          }
          for (const block of filling) block.dispose();
          undisturbed();
        }
        expect(failures).toBeGreaterThan(0);
        const [found, wanted] = [await disturbed.state(), await twin.state()];
        expect({ ...found, buffers: 0, bytes: 0 }).toEqual({ ...wanted, buffers: 0, bytes: 0 });
        disturbed.dispose();
        twin.dispose();
      },
    );
  });
}
