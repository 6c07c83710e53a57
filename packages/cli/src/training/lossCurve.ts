// The loss over the steps as an SVG picture. Not a dashboard: one curve, drawn once, without a browser.
import type { TopLevelSpec } from "vega-lite";

/** What is drawn of a step. */
export interface LossRow {
  readonly step: number;
  readonly loss: number;
}

// More than the eye can tell apart at this size, and few enough for a small file.
const MOST_POINTS = 1000;
const LINE_POINTS = 400;

/**
 * Draws single losses as faint points, their moving median as a line, over a logarithmic axis.
 * @param rows by ascending step; of many rows an even selection is shown, the median takes all of its window.
 * Losses that a logarithmic axis cannot show (NaN, infinite, 0 or less) are left out and counted in the subtitle.
 * @throws Error when there is no loss to show
 */
export async function lossCurveSvg(rows: readonly LossRow[]): Promise<string> {
  const shown = rows.filter(({ loss }) => loss > 0 && loss < Number.POSITIVE_INFINITY);
  if (shown.length === 0) {
    throw new Error(`lossCurve: none of ${rows.length} losses is positive and finite, want at least one`);
  }
  // About a twentieth of the run: short enough to follow it, long enough to calm it; odd, to have a middle.
  const window = 2 * Math.min(Math.max(Math.floor(shown.length / 40), 4), 500) + 1;
  const leftOut = rows.length - shown.length;
  const notes = [`points: single steps, line: median of ${window}`];
  if (leftOut > 0) notes.push(`${leftOut} of ${rows.length} losses not positive and finite, left out`);
  return render({
    width: 720,
    height: 360,
    background: "white",
    title: { text: "Training loss", subtitle: notes, anchor: "start" },
    encoding: {
      x: {
        field: "step",
        type: "quantitative",
        title: "step",
        scale: { nice: false, zero: false },
        axis: { tickMinStep: 1 },
      },
      y: { field: "loss", type: "quantitative", title: "loss (logarithmic)", scale: { type: "log", nice: false } },
    },
    layer: [
      { data: { values: evenly(shown, MOST_POINTS) }, mark: { type: "point", filled: true, size: 8, opacity: 0.3 } },
      { data: { values: medians(shown, window) }, mark: { type: "line", strokeWidth: 2, color: "#c0392b" } },
    ],
  });
}

/** At most `most` rows, evenly spaced, the first and last among them. */
function evenly<Row>(rows: readonly Row[], most: number): Row[] {
  const count = Math.min(rows.length, most);
  const stride = (rows.length - 1) / Math.max(count - 1, 1);
  return Array.from({ length: count }, (_, i) => rows[Math.round(i * stride)]!);
}

/** The moving median at up to LINE_POINTS rows; at both ends its window is what there is of it. */
function medians(rows: readonly LossRow[], window: number): LossRow[] {
  const reach = (window - 1) / 2;
  return evenly([...rows.keys()], LINE_POINTS).map((middle) => {
    const near = rows.slice(Math.max(middle - reach, 0), middle + reach + 1);
    return { step: rows[middle]!.step, loss: median(Float64Array.from(near, ({ loss }) => loss)) };
  });
}

function median(values: Float64Array): number {
  values.sort();
  const middle = (values.length - 1) / 2;
  return (values[Math.floor(middle)]! + values[Math.ceil(middle)]!) / 2;
}

async function render(spec: TopLevelSpec): Promise<string> {
  // Loaded here because they take half a second, which every other command would wait for.
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none", logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
