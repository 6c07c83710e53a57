// A run of the bench as one HTML file: plots, every number, and where they come from. It loads nothing.

import { describeBusyness } from "@pkg/command";
import type { TopLevelSpec } from "vega-lite";
import type { EndToEnd } from "./endToEnd.ts";
import type { Measurement, Missing } from "./measure.ts";
import { ownLabel, ratioOf } from "./peerReport.ts";
import { svgOf } from "./plot.ts";
import { describeCeilings, digits, explainWide, networkRows, range, shareOf, stepsOf } from "./report.ts";
import type { BackendFacts, BenchResult } from "./result.ts";

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th { text-align: left; border-bottom: 2px solid #888; position: sticky; top: 0; background: white; }
th, td { padding: 2px 8px; vertical-align: top; } td { border-bottom: 1px solid #eee; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tbody.group > tr:first-child > td { border-top: 1px solid #aaa; }
.bar { display: inline-block; height: 8px; background: #4c78a8; margin-right: 6px; vertical-align: middle; }
.slow { color: #b3261e; } .failure { color: #b3261e; font-weight: 600; }
svg { max-width: 100%; height: auto; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 0; overflow-wrap: anywhere; }
`;

/** The report of a run. */
export async function htmlReport(result: BenchResult): Promise<string> {
  const { environment, backends, measurements, networks, failures, absent } = result;
  const sections = [
    `<h1>Tweedie's bench</h1><p><code>${text(environment.command)}</code> on ${text(environment.cpu)}, ${environment.cores} cores, ${text(environment.date)}</p>`,
    `<p${environment.isBusy ? ' class="failure"' : ""}>${text(describeBusyness(environment))}</p>`,
    `<p>${text(explainWide([...measurements, ...stepsOf(networks)]))}</p>`,
    failures.length > 0 ? section("Failed", missingTable(failures, "failure")) : "",
    measurements.length > 0 ? section("Share of the ceiling", await rooflinePlots(result)) : "",
    networks.length > 0 ? section("Training and sampling", networkTable(networks)) : "",
    section("Cases", caseTable(measurements, backends)),
    absent.length > 0 ? section("Left out", missingTable(absent)) : "",
    section("Environment", environmentList(result)),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Tweedie's bench</title><style>${STYLE}</style></head>
<body>
${sections.filter(Boolean).join("\n")}
</body></html>
`;
}

function section(title: string, content: string): string {
  return `<h2>${title}</h2>\n${content}`;
}

function environmentList({ environment: e, backends }: BenchResult): string {
  const commit = e.commit ? `${e.commit}${e.dirty ? ", with changes" : ""}` : "unknown";
  const facts: [string, string][] = [
    ["Sources", commit],
    ["Node", `${e.node}, V8 ${e.v8}`],
    ["System", `${e.os}, ${digits(e.memoryBytes / 2 ** 30)} GiB`],
    ["Busyness", describeBusyness(e)],
    ...backends.map(({ label, name, ceilings, costs }): [string, string] => [
      label,
      ceilings ? `${name}: ${describeCeilings(ceilings, costs)}` : name,
    ]),
  ];
  if (e.adapter) {
    const { features, limits, ...names } = e.adapter;
    facts.push(["Adapter", Object.values(names).filter(Boolean).join(", ")], ["Features", features.join(", ")]);
    facts.push([
      "Limits",
      Object.entries(limits)
        .map(([name, value]) => `${name} ${value}`)
        .join(", "),
    ]);
  }
  return `<dl>${facts.map(([name, value]) => `<dt>${text(name)}</dt><dd>${text(value)}</dd>`).join("")}</dl>`;
}

/** One plot a backend whose ceilings are known: intensity against speed, under the roof. */
async function rooflinePlots({ measurements, backends }: BenchResult): Promise<string> {
  const plots = [];
  for (const { label, ceilings } of backends) {
    const own = measurements.filter(({ backend }) => backend === label);
    if (!ceilings || own.length === 0) continue;
    const points = own.map(({ name, flop, bytes, median }) => ({
      kernel: name,
      intensity: flop / bytes,
      rate: flop / median / 1e6,
    }));
    const xs = points.map(({ intensity }) => intensity);
    const [least, most] = [Math.min(...xs) / 1.5, Math.max(...xs) * 1.5];
    const roofAt = (x: number) => Math.min((x * ceilings.bandwidth) / 1e9, (ceilings.flops ?? Infinity) / 1e9);
    const ridge = (ceilings.flops ?? Infinity) / ceilings.bandwidth;
    const roof = [least, ridge, most]
      .filter((x) => x >= least && x <= most)
      .map((x) => ({ intensity: x, rate: roofAt(x) }));
    const log = { type: "log", nice: false } as const;
    const spec: TopLevelSpec = {
      width: 560,
      height: 300,
      background: "white",
      title: { text: label, subtitle: "line: what copying and multiply-adds allow", anchor: "start" },
      encoding: {
        x: { field: "intensity", type: "quantitative", title: "operations a byte", scale: log },
        y: { field: "rate", type: "quantitative", title: "GFLOP/s", scale: log },
      },
      layer: [
        { data: { values: roof }, mark: { type: "line", color: "#888" } },
        {
          data: { values: points },
          mark: { type: "point", filled: true, size: 40, opacity: 0.8 },
          encoding: {
            color: {
              field: "kernel",
              type: "nominal",
              scale: { scheme: "tableau20" },
              legend: { symbolLimit: 40, labelLimit: 260 },
            },
          },
        },
      ],
    };
    plots.push(await svgOf(spec));
  }
  if (plots.length > 0) return plots.join("\n");
  return "<p>No ceilings were measured in this run.</p>";
}

function caseTable(measurements: readonly Measurement[], backends: readonly BackendFacts[]): string {
  const ceilings = new Map(backends.map(({ label, ceilings }) => [label, ceilings]));
  const groups = new Map<string, Measurement[]>();
  for (const m of measurements) {
    const key = `${m.name} ${m.size}`;
    groups.set(key, [...(groups.get(key) ?? []), m]);
  }
  const bodies = [...groups.values()].map((group) => {
    const longest = Math.max(...group.map(({ median }) => median));
    const rows = group.map((m, k) => {
      const reference = group.find(({ backend }) => backend === ownLabel(m.backend, group)) ?? group[0];
      const share = shareOf(m, ceilings.get(m.backend));
      const ratio = reference === m ? "" : `${digits(ratioOf(reference, m))}×`;
      return row([
        k === 0 ? text(m.name) : "",
        k === 0 ? text(m.size) : "",
        `${group.length > 1 ? bar(m.median / longest) : ""}${text(m.backend)}`,
        digits(m.median),
        m.isWide ? `<span class="failure">${range(m)}</span>` : range(m),
        digits(m.mad),
        digits(m.flop / m.median / 1e6),
        digits(m.bytes / m.median / 1e6),
        share === undefined ? "" : `${(100 * share).toFixed(0)} %`,
        ratio,
        m.error.toExponential(1),
        m.tolerance.toExponential(0),
      ]);
    });
    return `<tbody class="group">${rows.join("")}</tbody>`;
  });
  const heads = ["kernel", "size", "backend", "ms", "p10–p90", "MAD", "GFLOP/s", "GB/s", "of ceiling"];
  const note =
    "<p>Times are medians, bars compare them within a case. The ratio is the first of ours to this row, the median over rounds: below 1 ours is faster. Errors are ‖error‖ / ‖reference‖ against float64.</p>";
  return `${note}<table>${head([...heads, "ours / this", "error", "allowed"], 3)}${bodies.join("\n")}</table>`;
}

function bar(share: number): string {
  return `<span class="bar" style="width:${Math.max(1, 80 * share).toFixed(0)}px"></span>`;
}

function networkTable(networks: readonly EndToEnd[]): string {
  const { heads, rows } = networkRows(networks);
  const lines = rows.map((cells) => row(cells.map(text), 2));
  return `<table>${head(heads, 2)}<tbody>${lines.join("")}</tbody></table>`;
}

function missingTable(list: readonly Missing[], kind = ""): string {
  const rows = list.map(({ name, size, backend, reason }) =>
    row(
      [name, size, backend, `<span class="${kind}">${text(reason)}</span>`].map((cell, k) =>
        k < 3 ? text(cell) : cell,
      ),
      4,
    ),
  );
  return `<table>${head(["case", "size", "backend", "reason"], 4)}<tbody>${rows.join("")}</tbody></table>`;
}

/** Cells after the first `left` are numbers. */
function row(cells: readonly string[], left = 3): string {
  return `<tr>${cells.map((cell, k) => (k < left ? `<td>${cell}</td>` : `<td class="number">${cell}</td>`)).join("")}</tr>`;
}

function head(cells: readonly string[], left: number): string {
  const made = cells.map((cell, k) => (k < left ? `<th>${cell}</th>` : `<th class="number">${cell}</th>`));
  return `<thead><tr>${made.join("")}</tr></thead>`;
}

function text(value: string): string {
  return value.replace(
    /[&<>"]/g,
    (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter] ?? "",
  );
}
