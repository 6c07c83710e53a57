// The charts that experiments show: clouds of points side by side, and lines.

import type { TopLevelSpec } from "vega-lite";

/** Points in small square panels, one a title. @param extent half of each panel's side */
export function clouds(
  title: string,
  panels: Readonly<Record<string, ArrayLike<number>>>,
  {
    extent = 3,
    most = 800,
    columns = 4,
  }: { readonly extent?: number; readonly most?: number; readonly columns?: number } = {},
): TopLevelSpec {
  const values = Object.entries(panels).flatMap(([panel, points]) =>
    Array.from({ length: Math.min(most, points.length / 2) }, (_, i) => ({
      panel,
      x: points[2 * i],
      y: points[2 * i + 1],
    })),
  );
  const scale = { domain: [-extent, extent], nice: false };
  return {
    title: { text: title, anchor: "start" },
    data: { values },
    facet: { field: "panel", type: "nominal", title: null, sort: Object.keys(panels) },
    columns,
    spec: {
      width: 180,
      height: 180,
      mark: { type: "circle", size: 5, opacity: 0.5, clip: true },
      encoding: {
        x: { field: "x", type: "quantitative", scale, title: null },
        y: { field: "y", type: "quantitative", scale, title: null },
      },
    },
  };
}

/** One line a series. */
export function lines(
  title: string,
  axes: { readonly x: string; readonly y: string; readonly logX?: boolean; readonly logY?: boolean },
  series: Readonly<Record<string, readonly (readonly [x: number, y: number])[]>>,
): TopLevelSpec {
  const values = Object.entries(series).flatMap(([name, points]) => points.map(([x, y]) => ({ name, x, y })));
  const kind = (isLog: boolean | undefined) => (isLog ? ({ type: "log" } as const) : { zero: false });
  return {
    title: { text: title, anchor: "start" },
    width: 520,
    height: 260,
    data: { values },
    mark: { type: "line", point: values.length < 200 },
    encoding: {
      x: { field: "x", type: "quantitative", title: axes.x, scale: kind(axes.logX) },
      y: { field: "y", type: "quantitative", title: axes.y, scale: kind(axes.logY) },
      color: { field: "name", type: "nominal", title: null, sort: Object.keys(series) },
    },
  };
}
