// What the tensors of a checkpoint say of its header: which network they are of, without making any tensor. Not their values.

import { parameters, stateDict, type UnetConfig, unet } from "@pkg/nn";
import { type Backend, type Shape, type Tensor, tidy } from "@pkg/tensor";
import { InputError } from "../inputError.ts";
import { optimizerFor } from "../settings/optimizers.ts";
import type { Settings } from "../settings/settings.ts";
import { shown, wrong } from "./checkpointHeader.ts";

type Shapes = ReadonlyMap<string, Shape>;
type NetworkSettings = Pick<Settings, "model" | "optimizer" | "powerEma">;

/**
 * Checks the network and the optimizer of settings against the shapes in a file, and these against each other.
 * @param groups the shapes of each group: "ema" has to be there, "model" and "optimizer" may be
 * @throws InputError naming the field, or the tensor, that does not fit
 */
export function checkShapes(path: string, settings: NetworkSettings, groups: ReadonlyMap<string, Shapes>): void {
  const average = groups.get("ema") ?? new Map();
  compareConfig(path, settings.model, average);
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

function compareShapes(path: string, group: string, wanted: Shapes, found: Shapes): void {
  for (const [name, shape] of wanted) {
    const given = found.get(name);
    if (`${given}` !== `${shape}`) throw wrong(path, `${group}.${name}`, given, `${shown(shape)}`);
  }
  const extra = [...found].find(([name]) => !wanted.has(name));
  if (extra) throw wrong(path, `${group}.${extra[0]}`, extra[1], "no such tensor");
}

/** Compares every field that shapes show, so that whatever is built next is no larger than the file. */
function compareConfig(path: string, config: UnetConfig, shapes: Shapes): void {
  const has = (name: string) => shapes.has(name);
  const last = (name: string) => shapes.get(name)?.at(-1) ?? 0;
  const numbered = (pattern: RegExp) =>
    new Set([...shapes.keys()].flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
  const levels = Array.from({ length: numbered(/^down\.(\d+)\.stages\./) }, (_, level) => `down.${level}.stages.0`);
  const inChannels = shapes.get("input.weight")?.[2];
  const channels = last("input.weight");
  const width = [...shapes.values()].reduce((widest, shape) => shape.reduce((a, b) => Math.max(a, b), widest), 1);
  const compare = <Value>(field: keyof UnetConfig, given: Value, found: Value) => {
    if (`${given}` !== `${found}`)
      throw wrong(
        path,
        `settings.model.${field}`,
        config[field],
        `${found === undefined ? "none" : shown(found)} as in its weights`,
      );
  };
  compare("inChannels", config.inChannels, inChannels);
  compare("outChannels", config.outChannels ?? config.inChannels, last("output.weight"));
  compare("channels", config.channels, channels);
  compare(
    "multipliers",
    config.multipliers,
    levels.map((level) => last(`${level}.block.conv1.weight`) / channels),
  );
  compare("blocks", config.blocks ?? 2, numbered(/^down\.0\.stages\.(\d+)\./));
  // Else names of many levels and of many blocks would ask for their product.
  const stages = levels.length * numbered(/^down\.0\.stages\.(\d+)\./);
  if (stages > shapes.size)
    throw new InputError(`${path}: ema: ${shapes.size} tensors, want those of ${stages} stages`);
  const attention = [...new Set(config.attentionLevels)].sort((a, b) => a - b);
  compare(
    "attentionLevels",
    attention,
    [...levels.keys()].filter((level) => has(`${levels[level]}.attention.qkv.weight`)),
  );
  compare("classes", config.classes, has("classes.weight") ? (shapes.get("classes.weight")?.[0] ?? 0) - 1 : undefined);
  compare(
    "scaleShift",
    config.scaleShift ?? false,
    last("down.0.stages.0.block.time.weight") > last("down.0.stages.0.block.conv1.weight"),
  );
  const numbers = [...shapes.keys()].flatMap((name) => /^numbers\.(.*)\.first\.weight$/.exec(name)?.[1] ?? []);
  compare("numbers", Object.keys(config.numbers ?? {}).sort(), numbers.sort());
  // Shapes do not show these, but each divides a number of channels.
  for (const field of ["heads", "groups"] as const) {
    if ((config[field] ?? 1) > width)
      throw wrong(path, `settings.model.${field}`, config[field], `at most ${width}, the widest of its weights`);
  }
}

/** The shapes of a network and of its optimizer's state. @throws InputError when the configuration makes no network */
export function dryShapes(
  path: string,
  settings: NetworkSettings,
): { readonly model: Shapes; readonly optimizer: Shapes } {
  try {
    return tidy(() => {
      const model = unet(settings.model, { backend: shapesOnly, rng: null });
      const optimizer = optimizerFor(settings, parameters(model), { lr: 0 });
      return { model: shapesOf(stateDict(model)), optimizer: shapesOf(optimizer.state()) };
    });
  } catch (error) {
    throw new InputError(`${path}: settings.model: ${(error as Error).message}`);
  }
}

function shapesOf(state: ReadonlyMap<string, Tensor>): Shapes {
  return new Map([...state].map(([name, { shape }]) => [name, shape]));
}

/** A backend without memory: tensors on it have shapes and nothing else. */
const shapesOnly: Backend = {
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
