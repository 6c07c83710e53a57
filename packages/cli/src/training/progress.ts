// How far a run is, on stderr: a bar on a terminal, a line every few seconds elsewhere. Not a log, and never a failure.
import { SingleBar } from "cli-progress";

/** When a run ends: after so many steps, or so many minutes. */
export type Budget = { readonly steps: number } | { readonly minutes: number };

/** Where a run is: steps done, the loss of the last, and samples seen since the process began the run. */
export interface ProgressState {
  readonly step: number;
  readonly loss: number;
  readonly samples: number;
}

/** A display in progress. */
export interface Progress {
  update(state: ProgressState): void;
  /** Writes a line of its own, above the bar. */
  print(text: string): void;
  /** Shows the last state and ends; call it also when the run fails. */
  stop(): void;
}

/**
 * `firstStep`: steps done before this process; `interval`: seconds between lines where there is no terminal; `unit`: what samples are,
 * by default images.
 */
export interface ProgressOptions {
  readonly stream?: NodeJS.WriteStream;
  readonly firstStep?: number;
  readonly interval?: number;
  readonly unit?: string;
}

interface Moment {
  readonly seconds: number;
  readonly step: number;
  readonly samples: number;
}

// Seconds over which speed is measured, so that the slow first steps are soon forgotten.
const SPEED_WINDOW = 10;
const BAR_WIDTH = 24; // or what the text leaves of the terminal

/** Begins to show a run; the clock starts now. */
export function progress(
  budget: Budget,
  { stream = process.stderr, firstStep = 0, interval = 5, unit = "images" }: ProgressOptions = {},
): Progress {
  const write = quietWriter(stream);
  const bar = stream.isTTY ? startBar(budget, stream, firstStep) : undefined;
  const began = performance.now();
  const moments: Moment[] = [{ seconds: 0, step: firstStep, samples: 0 }];
  let line = "";
  let printed = "";
  let nextPrint = 0;
  return {
    update(state) {
      const now: Moment = { seconds: (performance.now() - began) / 1000, step: state.step, samples: state.samples };
      line = progressLine(budget, state, pastOf(moments, now), now, unit);
      if (bar) {
        bar.update("steps" in budget ? state.step : now.seconds, { line });
      } else if (now.seconds >= nextPrint) {
        nextPrint = now.seconds + interval;
        printed = line;
        write(`${line}\n`);
      }
    },
    print(text) {
      write(bar ? `\r\x1b[K${text}\n` : `${text}\n`);
    },
    stop() {
      if (bar) bar.stop();
      else if (line !== printed) write(`${line}\n`);
      printed = line;
    },
  };
}

function startBar(budget: Budget, stream: NodeJS.WriteStream, firstStep: number): SingleBar {
  const bar = new SingleBar({
    stream,
    linewrap: true, // leaves the terminal's wrapping on, and cuts the text to its width
    format: (_, params, payload) => {
      const percent = `${Math.floor(params.progress * 100)}%`.padStart(4);
      const text = `${percent}  ${payload.line}`;
      const width = Math.min(Math.max((stream.columns || 80) - text.length, 0), BAR_WIDTH);
      const done = Math.round(params.progress * width);
      return "█".repeat(done) + "░".repeat(width - done) + text;
    },
  });
  const [total, value] = "steps" in budget ? [budget.steps, firstStep] : [budget.minutes * 60, 0];
  bar.start(total, value, { line: "" });
  return bar;
}

function progressLine(budget: Budget, { step, loss }: ProgressState, past: Moment, now: Moment, unit: string): string {
  const time = now.seconds - past.seconds;
  const [stepsPerSecond, samplesPerSecond] = [(step - past.step) / time, (now.samples - past.samples) / time];
  const remaining =
    "steps" in budget ? Math.max(budget.steps - step, 0) / stepsPerSecond : budget.minutes * 60 - now.seconds;
  return [
    "steps" in budget ? `step ${step}/${budget.steps}` : `step ${step}`,
    `loss ${loss.toPrecision(4)}`,
    `${threeDigits(samplesPerSecond)} ${unit}/s`,
    `elapsed ${clock(now.seconds)}`,
    `remaining ${clock(Math.max(remaining, 0))}`,
  ].join("  ");
}

/** The newest moment that is a whole window old, else the oldest; `now` joins the moments for later. */
function pastOf(moments: Moment[], now: Moment): Moment {
  while (moments.length > 1 && now.seconds - moments[1]!.seconds >= SPEED_WINDOW) moments.shift();
  const past = moments[0]!;
  if (now.seconds - moments.at(-1)!.seconds >= SPEED_WINDOW / 20) moments.push(now);
  return past;
}

function threeDigits(value: number): string {
  if (!Number.isFinite(value)) return "?";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (part: number): string => String(part).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const quieted = new WeakSet<NodeJS.WriteStream>();

// A reader that went away (`2>&1 | head`) reports itself as an event at any later time, and must not end the training.
function quietWriter(stream: NodeJS.WriteStream): (text: string) => void {
  if (!quieted.has(stream)) {
    quieted.add(stream);
    stream.on("error", () => {});
  }
  return (text) => {
    try {
      stream.write(text);
    } catch {}
  };
}
