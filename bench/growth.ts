// `pnpm bench:growth`: how time and memory of a training step grow with batch, pixels and channels, and over thousands of steps.
import {
  answer,
  type Command,
  closedAtEnd,
  describeBusyness,
  type FlagTable,
  type FlagValues,
  runAsProgram,
  watchBusyness,
} from "@pkg/command";
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, parameters, unet } from "@pkg/nn";
import { type Backend, liveTensors, randomStream, tidy, wasm, webgpu } from "@pkg/tensor";
import { liveBytes } from "./liveBytes.ts";
import { explainWide, range } from "./report.ts";
import { type Spread, spread } from "./statistics.ts";

const FLAGS = {
  backend: { help: "what computes", default: "wasm", choices: ["wasm", "webgpu"] },
  steps: { help: "training steps in the search for leaks", default: 10_000, range: [1, 1e9], integer: true },
} as const satisfies FlagTable;

/** A U-Net with two levels and attention in the middle, on square images. */
interface Problem {
  readonly batch: number;
  readonly side: number;
  readonly channels: number;
}

const BASE: Problem = { batch: 16, side: 16, channels: 16 };
const SERIES: readonly { readonly name: string; readonly unit: string; readonly problems: readonly Problem[] }[] = [
  { name: "batch", unit: "images", problems: [8, 16, 32, 64].map((batch) => ({ ...BASE, batch })) },
  { name: "pixels", unit: "pixels", problems: [8, 16, 32, 64].map((side) => ({ ...BASE, side })) },
  { name: "channels", unit: "channels", problems: [8, 16, 32, 64].map((channels) => ({ ...BASE, channels })) },
];
const ROUNDS = 7;

export const growth: Command<keyof typeof FLAGS> = {
  name: "bench:growth",
  about:
    "Measures how time and memory of a training step grow with batch, pixels and channels, and whether either creeps up.",
  flags: FLAGS,
  onlyPrints: () => true,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(growth, words));

async function main(flags: FlagValues<keyof typeof FLAGS>): Promise<number> {
  const busyness = watchBusyness();
  const all: Spread[] = [];
  const openers: Record<string, () => Promise<Backend>> = { wasm, webgpu };
  const open = openers[flags.word("backend")];
  for (const { name, unit, problems } of SERIES) {
    const size = ({ batch, side, channels }: Problem) => ({ batch, pixels: side * side, channels })[name] ?? 0;
    const rows = [];
    for (const problem of problems) rows.push({ size: size(problem), ...(await measure(problem, open)) });
    all.push(...rows);
    say(`\n${name.padEnd(10)}  ms a step         p10–p90  peak MiB  least MiB  peak / least`);
    for (const { size, peak, least, ...times } of rows) {
      say(
        [
          `${size} ${unit}`.padEnd(14),
          times.median.toFixed(1).padStart(7),
          range(times).padStart(14),
          mebi(peak).padStart(8),
          mebi(least).padStart(9),
          (peak / least).toFixed(3).padStart(12),
        ].join("  "),
      );
    }
    say(`time grows as ${name}^${slope(rows, "median")}, memory as ${name}^${slope(rows, "peak")} over the last two`);
  }
  await leaks(open, flags.number("steps"));
  const mark = explainWide(all);
  if (mark) say(mark);
  say(describeBusyness(busyness()));
  return 0;
}

/** Median time, peak bytes, and the bytes that have to be alive at once. */
async function measure(problem: Problem, open: () => Promise<Backend>) {
  const { backend, step, lasting } = await trainer(problem, open);
  for (let k = 0; k < 2; k++) step();
  await backend.settled();
  const least = liveBytes(step, lasting());
  const samples: number[] = [];
  for (let k = 0; k < ROUNDS; k++) {
    const began = performance.now();
    step();
    await backend.settled();
    samples.push(performance.now() - began);
  }
  const peak = backend.memory().peakBytes;
  backend.dispose();
  return { ...spread(samples), peak, least };
}

async function leaks(open: () => Promise<Backend>, steps: number): Promise<void> {
  const { backend, step } = await trainer({ batch: 2, side: 8, channels: 4 }, open);
  say(`\nsteps     live tensors  buffers  bytes in use  bytes reserved  resident MiB`);
  for (let done = 1, next = 10; done <= steps; done++) {
    step();
    if (done % 16 === 0) await backend.settled();
    if (done !== next && done !== steps) continue;
    next *= 10;
    await backend.settled();
    const { buffers, bytes, reservedBytes } = backend.memory();
    const figures = [liveTensors(), buffers, bytes, reservedBytes, mebi(process.memoryUsage.rss())];
    say(
      [String(done).padEnd(8), ...figures.map((figure, k) => String(figure).padStart([12, 7, 12, 14, 12][k]))].join(
        "  ",
      ),
    );
  }
  backend.dispose();
}

async function trainer({ batch, side, channels }: Problem, open: () => Promise<Backend>) {
  const backend = closedAtEnd(await open());
  const rng = randomStream(0);
  const model = unet({ inChannels: 1, channels, multipliers: [1, 2], blocks: 1 }, { backend, rng });
  const optimizer = adamW(parameters(model), { lr: 1e-3, clipNorm: 1 });
  const average = ema(model, 0.99);
  const schedule = cosine(1000);
  const step = () =>
    tidy(() => {
      const x0 = rng.normal([batch, side, side, 1], { backend });
      optimizer.minimize(() => noisePrediction(model, schedule, x0, rng));
      average.update();
    });
  const lasting = () => [...parameters(model), ...optimizer.state().values(), ...average.state().values()];
  return { backend, step, lasting };
}

/** d log y / d log size between the two largest. */
function slope<Row extends { readonly size: number }>(rows: readonly Row[], of: keyof Row & string): string {
  const [a, b] = rows.slice(-2);
  return (Math.log(Number(b[of]) / Number(a[of])) / Math.log(b.size / a.size)).toFixed(2);
}

function mebi(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
