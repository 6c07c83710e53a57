// A network whose calls are captured, for what asks it from the host: on WebGPU each call replays it as a flat list of commands.

import { type Captured, capture, type Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "./model.ts";

type Forward = Captured<[x: Tensor, times: readonly number[], labels: readonly (number | null)[]], Tensor>;

/** A model with captured calls; `dispose` frees what they hold, and calls after it throw. */
export interface CapturedModel<Network extends Model> extends Model {
  readonly model: Network;
  dispose(): void;
}

/**
 * The same model, with each call captured (see `capture`): the same bits, and on WebGPU no op of the network runs any JavaScript from
 * the fourth call on, but in calls 8, 16, 32, …, which are checked. It is for what decides on the host when to ask: `sampleFlow` and
 * `encodeFlow`, guidance in an interval (wrap the network itself, inside of it), samplers without a form. `sample` captures whole
 * steps of other samplers (`captured: true`). There is one capture for each shape of x ([batch, ...]), with labels and without. Calls
 * with a stream for dropout, which are training's, run as they are.
 * @throws Error from calls: what the model throws, and what `capture` refuses, such as `tensor` of given numbers in its forward
 */
export function capturedModel<Network extends Model>(model: Network): CapturedModel<Network> {
  expectArguments("capturedModel", { model });
  const captures = new Map<string, Forward>();
  return {
    model, // a field, so that its parameters are found
    forward(x, times, conditioning = {}) {
      const { labels, rng } = conditioning;
      if (rng) return model.forward(x, times, conditioning);
      const key = `${x.shape} ${labels !== undefined}`;
      const known = captures.get(key);
      if (known) return known(x, times, labels ?? []);
      const made: Forward = capture((x, times, given) =>
        model.forward(x, times, labels === undefined ? {} : { labels: given }),
      );
      captures.set(key, made);
      return made(x, times, labels ?? []);
    },
    dispose() {
      for (const captured of captures.values()) captured.dispose();
    },
  };
}
