// A training of masked diffusion on a text: its parts, one step of it, how good it is, what it writes, and how it is saved and restored.

import { absorbing, type Corruption, maskedLoss, sampleTokens } from "@pkg/diffusion";
import {
  type Ema,
  ema,
  loadStateDict,
  type Optimizer,
  stateDict,
  type TokenTransformer,
  tokenTransformer,
  warmup,
} from "@pkg/nn";
import {
  type Backend,
  parseSafetensors,
  type RandomStream,
  randomStream,
  type SafetensorsFile,
  type Tensor,
  tensor,
  tidy,
} from "@pkg/tensor";
import { writeState } from "../checkpoint/checkpoint.ts";
import { withCheckpointFile } from "../checkpoint/checkpointFile.ts";
import { compareShapes, shapesOf, shapesOnly } from "../checkpoint/stateShapes.ts";
import { InputError, readingInput } from "../inputError.ts";
import { optimizerFor } from "../settings/optimizers.ts";
import type { Characters } from "./characters.ts";
import { parseTextHeader, type TextHeader, type TextSettings } from "./textHeader.ts";

/** A training of a text. */
export interface TextRun {
  readonly settings: TextSettings;
  readonly backend: Backend;
  readonly corruption: Corruption;
  readonly model: TokenTransformer;
  readonly average: Ema;
  readonly optimizer: Optimizer;
  /** Draws times and masks. */
  readonly rng: RandomStream;
}

const KEY = "tweedie-text";
const WARMUP = 20;

/** A run at its beginning. @throws InputError when the settings make no network */
export function newTextRun(settings: TextSettings, vocabulary: number, backend: Backend): TextRun {
  const root = randomStream(settings.seed);
  const { channels, depth, heads, lr } = settings;
  const corruption = absorbing(vocabulary);
  const config = { states: corruption.states, outputs: vocabulary, channels, depth, heads };
  const model = readingInput(() => tokenTransformer(config, { backend, rng: root.split("weights") }));
  const optimizer = optimizerFor(settings, model, { lr: warmup(lr, WARMUP), clipNorm: 1 });
  return { settings, backend, corruption, model, average: ema(model, 0.995), optimizer, rng: root.split("noise") };
}

/** One update on random parts of the text; its loss in nats per character, once the backend has it. */
export function textStep(run: TextRun, text: Int32Array): Promise<number> {
  const { settings, backend, model, corruption, optimizer, average, rng } = run;
  const { batch, length, seed } = settings;
  const draws = randomStream(seed).split("data").split(optimizer.steps).host;
  const starts = draws.integers(0, text.length - length + 1, [batch]);
  return tidy(() => {
    const x0 = windows(text, starts, length, backend);
    const loss = optimizer.minimize(() => maskedLoss(model, corruption, x0, rng));
    average.update();
    return { pending: loss.item() };
  }).pending;
}

/** The bound on bits per character of a text by the averaged weights, over at most 64 parts of it, each masked 8 times. */
export async function bitsPerCharacter(run: TextRun, text: Int32Array): Promise<number> {
  const { settings, backend, corruption } = run;
  const { length, seed } = settings;
  const count = Math.min(64, Math.floor(text.length / length));
  const starts = Int32Array.from({ length: count }, (_, k) =>
    Math.floor((k * (text.length - length)) / Math.max(1, count - 1)),
  );
  const rng = randomStream(seed).split("evaluation");
  const averaged = averagedOf(run);
  let nats = 0;
  for (let k = 0; k < 8; k++)
    nats += await tidy(() => ({
      pending: maskedLoss(averaged, corruption, windows(text, starts, length, backend), rng).item(),
    })).pending;
  return nats / 8 / Math.LN2;
}

/** Some characters that the averaged weights draw, in as many steps as there are characters at most. */
export async function drawText(run: TextRun, { kinds }: Characters, length: number, steps: number): Promise<string> {
  const { settings, backend, corruption } = run;
  const rng = randomStream(settings.seed).split("samples");
  let values: ArrayLike<number> = [];
  for await (const { x, step } of sampleTokens(averagedOf(run), corruption, [1, length], rng, { backend, steps })) {
    if (step === steps) values = await x.data();
    x.dispose();
  }
  return Array.from(values, (value) => kinds[value]).join("");
}

/** Writes a run as one safetensors file. @throws as `writeState` does */
export function saveTextRun(path: string, run: TextRun, text: string): Promise<void> {
  const { settings, model, average, optimizer, rng } = run;
  const header: TextHeader = { format: 1, settings, text, step: optimizer.steps, rng: rng.state() };
  const groups = { model: stateDict(model), ema: average.state(), optimizer: optimizer.state() };
  return writeState(path, optimizer.steps, groups, { [KEY]: JSON.stringify(header) });
}

/**
 * A run as a file left it.
 * @param text the digest of the text that it goes on with
 * @throws InputError when the file is not one of these, or of another text
 */
export function restoreTextRun(path: string, vocabulary: number, text: string, backend: Backend): TextRun {
  return readingInput(() =>
    withCheckpointFile(path, (source) => {
      const { tensors, metadata } = parseSafetensors(source);
      const header = parseTextHeader(path, metadata[KEY]);
      if (header.text !== text) throw new InputError(`${path}: is of another text, want the --data that it began with`);
      checkText(path, header.settings, vocabulary, tensors);
      const run = newTextRun(header.settings, vocabulary, backend);
      tidy(() => {
        const group = (name: string) => {
          const own = [...tensors].filter(([key]) => key.startsWith(`${name}.`));
          return new Map(
            own.map(([key, { shape, data }]) => [
              key.slice(name.length + 1),
              tensor(Float32Array.from(data as Float32Array), { backend, shape }),
            ]),
          );
        };
        loadStateDict(run.model, group("model"));
        run.average.load(group("ema"), header.step);
        run.optimizer.load(group("optimizer"), header.step);
      });
      run.rng.restore(header.rng);
      return run;
    }),
  );
}

/** @throws InputError unless the tensors of a file are those of a run, so that no larger one is made */
function checkText(
  path: string,
  settings: TextSettings,
  vocabulary: number,
  tensors: SafetensorsFile["tensors"],
): void {
  const [other] = [...tensors].find(([, { dtype }]) => dtype !== "F32") ?? [];
  if (other) throw new InputError(`${path}: ${other} is not F32, want a checkpoint written by text`);
  const { model, average, optimizer } = newTextRun(settings, vocabulary, shapesOnly);
  for (const [group, state] of Object.entries({
    model: stateDict(model),
    ema: average.state(),
    optimizer: optimizer.state(),
  })) {
    const found = [...tensors].filter(([name]) => name.startsWith(`${group}.`));
    const shapes = found.map(([name, { shape }]) => [name.slice(group.length + 1), shape] as const);
    compareShapes(path, group, shapesOf(state), new Map(shapes));
  }
}

/** A network with the averaged weights. */
function averagedOf({ settings, corruption, backend, average }: TextRun): TokenTransformer {
  const { channels, depth, heads } = settings;
  const { states, vocabulary: outputs } = corruption;
  const model = tokenTransformer({ states, outputs, channels, depth, heads }, { backend, rng: null });
  loadStateDict(model, average.state());
  return model;
}

/** Parts of a text, int32 [parts, length]. */
function windows(text: Int32Array, starts: Int32Array, length: number, backend: Backend): Tensor {
  const values = new Int32Array(starts.length * length);
  for (const [k, start] of starts.entries()) values.set(text.subarray(start, start + length), k * length);
  return tensor(values, { backend, shape: [starts.length, length] });
}
