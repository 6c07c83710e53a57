// The laboratory's page: everything in it, nothing from elsewhere. And distances between clouds.
import { randomStream } from "@pkg/tensor";
import { expect, test } from "vitest";
import { lines } from "../../packages/lab/src/charts.ts";
import { energyDistance } from "../../packages/lab/src/distance.ts";
import { experiments } from "../../packages/lab/src/experiments/index.ts";
import { reportHtml } from "../../packages/lab/src/report.ts";

test("a page holds claim, text, tables and charts, and asks for nothing else", async () => {
  const html = await reportHtml(
    [
      {
        experiment: { name: "one", title: "A < B", claim: "they say" },
        findings: {
          text: ["found 1 & 2"],
          tables: [{ title: "numbers", columns: ["n"], rows: [[42]] }],
          charts: [
            lines(
              "a line",
              { x: "x", y: "y" },
              {
                series: [
                  [0, 1],
                  [1, 2],
                ],
              },
            ),
          ],
        },
        seconds: 1.25,
      },
    ],
    "made here",
  );
  for (const part of [
    "A &lt; B",
    "they say",
    "found 1 &amp; 2",
    "<caption>numbers",
    "<td>42</td>",
    "a line",
    "made here",
  ])
    expect(html).toContain(part);
  expect(html).toMatch(/<figure><svg/);
  expect(html).not.toMatch(/(src|href)="(?!#)/);
});

test("every experiment has a name of its own and a claim of the documents", () => {
  expect(new Set(experiments.map(({ name }) => name)).size).toBe(experiments.length);
  for (const { claim } of experiments) expect(claim).toMatch(/^S[12]|^[A-Z]\w+ .*20\d\d/);
});

test("the squared energy distance is about 0 for equal distributions, and twice the distance of two points", () => {
  const rng = randomStream(1);
  const cloud = () => rng.host.normal([1500, 2]);
  expect(Math.abs(energyDistance(cloud(), cloud()))).toBeLessThan(0.02);
  // Two single points at distance 3, each twice: 2 · 3.
  expect(energyDistance([0, 0, 0, 0], [3, 0, 3, 0])).toBeCloseTo(6, 12);
});
