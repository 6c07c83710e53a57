// Progress as a pipe and as a terminal see it, under a clock that the tests turn.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Writable } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ProgressOptions, progress } from "../../packages/cli/src/training/progress.ts";
import { bundled, temporaryDirectory } from "./bundled.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A stream that keeps what is written, in the place of stderr. */
function capture(
  isTTY: boolean,
  columns = 120,
): { stream: NonNullable<ProgressOptions["stream"]>; text: () => string } {
  let written = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written += chunk;
      done();
    },
  });
  // Of a terminal stream, progress and cli-progress use these alone.
  return { stream: Object.assign(stream, { isTTY, columns }) as never, text: () => written };
}

test("a pipe gets a line at once, one every few seconds, and the last state", () => {
  const { stream, text } = capture(false);
  const shown = progress({ steps: 100 }, { stream, interval: 5 });
  for (let step = 1; step <= 12; step++) {
    vi.advanceTimersByTime(1000);
    shown.update({ step, loss: 0.5 / step, samples: 64 * step });
  }
  shown.print("saved");
  shown.stop();
  expect(text().split("\n")).toEqual([
    "step 1/100  loss 0.5000  64.0 images/s  elapsed 0:01  remaining 1:39",
    "step 6/100  loss 0.08333  64.0 images/s  elapsed 0:06  remaining 1:34",
    "step 11/100  loss 0.04545  64.0 images/s  elapsed 0:11  remaining 1:29",
    "saved",
    "step 12/100  loss 0.04167  64.0 images/s  elapsed 0:12  remaining 1:28",
    "",
  ]);
});

test("stopping twice, or before the first step, writes nothing more", () => {
  const { stream, text } = capture(false);
  progress({ steps: 1 }, { stream }).stop();
  expect(text()).toBe("");
  const shown = progress({ steps: 1 }, { stream });
  shown.update({ step: 1, loss: 1, samples: 0 });
  shown.stop();
  shown.stop();
  expect(text().split("\n").length).toBe(2);
});

test("a budget in minutes remains by the clock, whatever the speed", () => {
  const { stream, text } = capture(false);
  const shown = progress({ minutes: 2 }, { stream });
  vi.advanceTimersByTime(30_000);
  shown.update({ step: 7, loss: 1, samples: 3000 });
  vi.advanceTimersByTime(120_000);
  shown.update({ step: 9, loss: Number.NaN, samples: 3000 });
  expect(text().split("\n")).toEqual([
    "step 7  loss 1.000  100 images/s  elapsed 0:30  remaining 1:30",
    "step 9  loss NaN  0.00 images/s  elapsed 2:30  remaining 0:00",
    "",
  ]);
});

test("the speed is that of the last seconds, from the resumed step on", () => {
  const { stream, text } = capture(false);
  const shown = progress({ steps: 1000 }, { stream, firstStep: 500, interval: 0 });
  vi.advanceTimersByTime(60_000); // a slow first step
  shown.update({ step: 501, loss: 1, samples: 6 });
  expect(text()).toContain("0.100 images/s  elapsed 1:00  remaining 8:19:00");
  for (let step = 502; step <= 601; step++) {
    vi.advanceTimersByTime(200);
    shown.update({ step, loss: 1, samples: 6 * (step - 500) });
  }
  expect(text().trim().split("\n").at(-1)).toBe(
    "step 601/1000  loss 1.000  30.0 images/s  elapsed 1:20  remaining 1:20",
  );
});

test("a terminal gets a bar, redrawn in place, that leaves the terminal as it was", () => {
  const { stream, text } = capture(true);
  const shown = progress({ steps: 4 }, { stream });
  vi.advanceTimersByTime(1000);
  shown.update({ step: 1, loss: 0.5, samples: 64 });
  vi.advanceTimersByTime(1000);
  expect(text()).toContain(
    "██████░░░░░░░░░░░░░░░░░░ 25%  step 1/4  loss 0.5000  64.0 images/s  elapsed 0:01  remaining 0:03",
  );
  shown.print("saved");
  vi.advanceTimersByTime(1000);
  shown.update({ step: 4, loss: 0.5, samples: 256 });
  shown.stop();
  expect(text()).toContain("\r\x1b[Ksaved\n");
  expect(text()).toContain(`${"█".repeat(24)}100%  step 4/4`);
  expect(text()).not.toContain("\x1b[?"); // neither the cursor hidden nor wrapping off
  expect(vi.getTimerCount()).toBe(0);
});

test("on a narrow terminal the bar gives way to the text", () => {
  for (const [columns, bar] of [
    [80, "████░░░░"],
    [60, ""],
  ] as const) {
    const { stream, text } = capture(true, columns);
    const shown = progress({ steps: 2 }, { stream });
    vi.advanceTimersByTime(1000);
    shown.update({ step: 1, loss: 0.5, samples: 64 });
    shown.stop();
    const full = `${bar} 50%  step 1/2  loss 0.5000  64.0 images/s  elapsed 0:01  remaining 0:01`;
    expect(text().split("\x1b[1G").at(-1)!.split("\x1b")[0]).toBe(full.slice(0, columns));
  }
});

test("a bar by time fills with the minutes", () => {
  const { stream, text } = capture(true);
  const shown = progress({ minutes: 1 }, { stream });
  vi.advanceTimersByTime(30_000);
  shown.update({ step: 3, loss: 0.5, samples: 64 });
  shown.stop();
  expect(text()).toContain(`${"█".repeat(12)}${"░".repeat(12)} 50%  step 3  loss`);
});

test.each([false, true])("a stderr that went away does not end the run (terminal: %s)", async (isTTY) => {
  vi.useRealTimers();
  const script = await bundled(
    `import { progress } from "./training/progress.ts";
     Object.assign(process.stderr, { isTTY: ${isTTY} });
     const shown = progress({ steps: 40 }, { interval: 0 });
     for (let step = 1; step <= 40; step++) {
       shown.update({ step, loss: 1, samples: step });
       shown.print("still here");
       await new Promise((resolve) => setTimeout(resolve, 10));
     }
     shown.stop();
     await new Promise((resolve) => setTimeout(resolve, 50));
     console.log("done");`,
    temporaryDirectory(),
  );
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "pipe"] });
  child.stderr.destroy();
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  expect({ code, output }).toEqual({ code: 0, output: "done\n" });
});
