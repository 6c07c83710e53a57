// The loss curve is read back out of the SVG: marks, axes and titles.
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { lossCurveSvg } from "../../packages/cli/src/training/lossCurve.ts";
import { bundled, temporaryDirectory } from "./bundled.ts";

/** The vertices of the line that an SVG path draws. */
function lineOf(svg: string): { x: number; y: number }[] {
  const path = /mark-line.*?<path [^>]*?d="M([^"]*)"/s.exec(svg)![1]!;
  return path.split("L").map((vertex) => {
    const [x, y] = vertex.split(",").map(Number);
    return { x: x!, y: y! };
  });
}

const pointsOf = (svg: string): number => /mark-symbol.*?<\/g>/s.exec(svg)![0].split("<path").length - 1;

test("a run is drawn as one point per step and one line, with titled axes", async () => {
  const svg = await lossCurveSvg(Array.from({ length: 100 }, (_, step) => ({ step, loss: 1 / (step + 1) })));
  expect(svg).toMatch(/^<svg /);
  expect(pointsOf(svg)).toBe(100);
  for (const text of ["Training loss", ">step<", ">loss (logarithmic)<", "median of 9"]) expect(svg).toContain(text);
});

test("the axis is logarithmic: an exponential decay is a straight line", async () => {
  const svg = await lossCurveSvg(Array.from({ length: 201 }, (_, step) => ({ step, loss: 0.95 ** step })));
  // A median of a monotonic run is its middle, except at the ends, where the window is not centred.
  const line = lineOf(svg).slice(5, -5);
  expect(line.length).toBe(191);
  const slope = (line.at(-1)!.y - line[0]!.y) / (line.at(-1)!.x - line[0]!.x);
  expect(slope).toBeGreaterThan(0); // y grows downwards
  // SVG coordinates have three decimals.
  for (const { x, y } of line) expect(Math.abs(y - line[0]!.y - slope * (x - line[0]!.x))).toBeLessThan(0.01);
});

test("the line does not follow outliers", async () => {
  const rows = Array.from({ length: 400 }, (_, step) => ({ step, loss: step % 50 === 25 ? 1000 : 0.1 }));
  const line = lineOf(await lossCurveSvg(rows));
  expect(new Set(line.map(({ y }) => y)).size).toBe(1);
});

test("losses that the axis cannot show are counted", async () => {
  const losses = [1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 0, -1, 0.25];
  const svg = await lossCurveSvg(losses.map((loss, step) => ({ step, loss })));
  expect(pointsOf(svg)).toBe(3);
  expect(svg).toContain("4 of 7 losses not positive and finite, left out");
  await expect(lossCurveSvg([])).rejects.toThrow("lossCurve: none of 0 losses is positive and finite");
  await expect(lossCurveSvg([{ step: 0, loss: Number.NaN }])).rejects.toThrow("none of 1 losses");
});

test("one step, equal losses, and a million steps have a picture too", async () => {
  expect(pointsOf(await lossCurveSvg([{ step: 7, loss: 0.3 }]))).toBe(1);
  expect(pointsOf(await lossCurveSvg([0, 1, 2].map((step) => ({ step, loss: 1 }))))).toBe(3);
  const long = await lossCurveSvg(Array.from({ length: 1e6 }, (_, step) => ({ step, loss: 1 + Math.sin(step) / 2 })));
  expect(long).not.toContain("NaN");
  expect(long.length).toBeLessThan(1e6);
});

test("it works from a bundle, and writes nothing else", async () => {
  const script = await bundled(
    `import { lossCurveSvg } from "./training/lossCurve.ts";
     const svg = await lossCurveSvg([{ step: 0, loss: 1 }, { step: 1, loss: 0.5 }]);
     process.stdout.write(svg.slice(0, 5));`,
    temporaryDirectory(),
  );
  const { stdout, stderr, status } = spawnSync(process.execPath, [script], { encoding: "utf8" });
  expect({ stdout, stderr, status }).toEqual({ stdout: "<svg ", stderr: "", status: 0 });
});
