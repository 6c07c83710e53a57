// Draws a Vega-Lite specification as SVG text, without a browser.
import type { TopLevelSpec } from "vega-lite";

export async function svgOf(spec: TopLevelSpec): Promise<string> {
  // They take half a second to load, and only reports need them.
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none", logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
