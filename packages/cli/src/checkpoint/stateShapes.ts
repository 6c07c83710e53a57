// What the tensors of a checkpoint say of its header: which network they are of, without making any tensor. Not their values.

import { parameters, stateDict } from "@pkg/nn";
import { type Backend, type Tensor, tidy } from "@pkg/tensor";
import { InputError } from "../inputError.ts";
import type { Shapes } from "../networks/network.ts";
import { makeNetwork, networkName, networkOf } from "../settings/networks.ts";
import { optimizerFor } from "../settings/optimizers.ts";
import type { Settings } from "../settings/settings.ts";
import { shown, wrong } from "./checkpointHeader.ts";

type NetworkSettings = Pick<Settings, "network" | "model" | "optimizer" | "powerEma">;

/**
 * Checks the network and the optimizer of settings against the shapes in a file, and these against each other.
 * @param groups the shapes of each group: "ema" has to be there, "model" and "optimizer" may be
 * @throws InputError naming the field, or the tensor, that does not fit
 */
export function checkShapes(path: string, settings: NetworkSettings, groups: ReadonlyMap<string, Shapes>): void {
  const average = groups.get("ema") ?? new Map();
  compareConfig(path, settings, average);
  const wanted = dryShapes(path, settings);
  for (const [group, shapes] of groups) {
    const own = group === "optimizer" ? wanted.optimizer : wanted.model;
    compareShapes(path, group, group === "powerEma" ? forEach(settings.powerEma?.sigmaRels, own) : own, shapes);
  }
}

/** The shapes of a state that is there once for each length, under its index. */
function forEach(sigmaRels: readonly number[] = [], shapes: Shapes): Shapes {
  return new Map(sigmaRels.flatMap((_, k) => [...shapes].map(([name, shape]) => [`${k}.${name}`, shape] as const)));
}

/** @throws InputError for the first tensor of a group that has another shape, is missing, or is not wanted */
export function compareShapes(path: string, group: string, wanted: Shapes, found: Shapes): void {
  for (const [name, shape] of wanted) {
    const given = found.get(name);
    if (`${given}` !== `${shape}`) throw wrong(path, `${group}.${name}`, given, `${shown(shape)}`);
  }
  const extra = [...found].find(([name]) => !wanted.has(name));
  if (extra) throw wrong(path, `${group}.${extra[0]}`, extra[1], "no such tensor");
}

/** Compares every field that shapes show, so that whatever is built next is no larger than the file. */
function compareConfig(path: string, { network, model }: NetworkSettings, shapes: Shapes): void {
  const fields = model as unknown as Readonly<Record<string, unknown>>; // each is told by its name
  networkOf({ network }).compare(model, shapes, {
    same(field, given, found) {
      if (`${given}` === `${found}`) return;
      const wanted = `${found === undefined ? "none" : shown(found)} as in its weights`;
      throw wrong(path, `settings.model.${field}`, fields[field], wanted);
    },
    atMost(field, given, largest) {
      if (given > largest)
        throw wrong(path, `settings.model.${field}`, given, `at most ${largest}, the widest of its weights`);
    },
    enough(what, parts) {
      if (parts > shapes.size)
        throw new InputError(`${path}: ema: ${shapes.size} tensors, want those of ${parts} ${what}`);
    },
  });
}

/** @throws InputError when the configuration that flags ask for makes no network */
export function checkNetwork(settings: Pick<Settings, "network" | "model">): void {
  const name = networkName(settings);
  try {
    tidy(() => void makeNetwork(settings, { backend: shapesOnly, rng: null }));
  } catch (error) {
    throw new InputError(`--network ${name}: ${(error as Error).message.replace(`${name}: `, "")}`, { cause: error });
  }
}

/** The shapes of a network and of its optimizer's state. @throws InputError when the configuration makes no network */
export function dryShapes(
  path: string,
  settings: NetworkSettings,
): { readonly model: Shapes; readonly optimizer: Shapes } {
  try {
    return tidy(() => {
      const model = makeNetwork(settings, { backend: shapesOnly, rng: null });
      const optimizer = optimizerFor(settings, parameters(model), { lr: 0 });
      return { model: shapesOf(stateDict(model)), optimizer: shapesOf(optimizer.state()) };
    });
  } catch (error) {
    throw new InputError(`${path}: settings.model: ${(error as Error).message}`);
  }
}

/** The shapes of a state. */
export function shapesOf(state: ReadonlyMap<string, Tensor>): Shapes {
  return new Map([...state].map(([name, { shape }]) => [name, shape]));
}

/** A backend without memory: tensors on it have shapes and nothing else. */
export const shapesOnly: Backend = {
  name: "shapes only",
  allocate: () => ({}),
  free() {},
  upload() {},
  download: () => Promise.reject(new Error("shapesOnly: has no elements, want shapes asked of it alone")),
  baseOf: () => 0,
  run() {},
  settled: async () => {},
  memory: () => ({ buffers: 0, bytes: 0, peakBytes: 0, reservedBytes: 0 }),
  dispose() {},
};
