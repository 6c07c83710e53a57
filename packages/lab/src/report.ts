// Findings as one HTML page that needs nothing else: text, tables, and charts drawn as SVG.

import type { TopLevelSpec } from "vega-lite";
import type { Experiment, Findings, Table } from "./experiment.ts";

/** One experiment, what it found, and how long it took. */
export interface Section {
  readonly experiment: Pick<Experiment, "name" | "title" | "claim">;
  readonly findings: Findings;
  readonly seconds: number;
}

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
h2 { margin-top: 3rem; } blockquote { margin: 0; padding: 0 1rem; border-left: 3px solid #bbb; color: #555; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; } caption { text-align: left; font-weight: 600; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right; } th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; } .took { color: #777; font-size: .85rem; }`;

/** @param made what made it: date, sources, backend, seeds, command, busyness */
export async function reportHtml(sections: readonly Section[], made: string): Promise<string> {
  const contents = sections.map(
    ({ experiment: { name, title } }) => `<li><a href="#${name}">${escaped(title)}</a></li>`,
  );
  const bodies = [];
  for (const section of sections) bodies.push(await sectionHtml(section));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Laboratory</title><style>${STYLE}</style></head>
<body><h1>Laboratory</h1>
<p>What the theory says about small problems, measured.</p>
<p class="took">${escaped(made)}</p>
<ol>${contents.join("")}</ol>
${bodies.join("\n")}
</body></html>
`;
}

async function sectionHtml({ experiment: { name, title, claim }, findings, seconds }: Section): Promise<string> {
  const figures = [];
  for (const spec of findings.charts ?? []) figures.push(`<figure>${await svg(spec)}</figure>`);
  return [
    `<section id="${name}"><h2>${escaped(title)}</h2>`,
    `<blockquote>${escaped(claim)}</blockquote>`,
    ...findings.text.map((paragraph) => `<p>${escaped(paragraph)}</p>`),
    ...(findings.tables ?? []).map(tableHtml),
    ...figures,
    `<p class="took">${seconds.toFixed(1)} s</p></section>`,
  ].join("\n");
}

function tableHtml({ title, columns, rows }: Table): string {
  const cells = (tag: string, values: readonly (string | number)[]) =>
    `<tr>${values.map((value) => `<${tag}>${escaped(String(value))}</${tag}>`).join("")}</tr>`;
  const body = rows.map((row) => cells("td", row)).join("");
  return `<table><caption>${escaped(title)}</caption><thead>${cells("th", columns)}</thead><tbody>${body}</tbody></table>`;
}

/** A Vega-Lite chart as SVG, without a browser. */
async function svg(spec: TopLevelSpec): Promise<string> {
  // Loaded here because they take half a second.
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  const view = new vega.View(vega.parse(compile({ background: "white", ...spec } as TopLevelSpec).spec), {
    renderer: "none",
    logLevel: vega.Error,
  });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
