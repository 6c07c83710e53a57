// `node tools/bundle.mjs ENTRY.ts OUT.mjs` makes one file with all but `webgpu` inside, for a machine without node_modules.
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { bundleOptions } from "./bundleOptions.mjs";

/**
 * @param {string} entry
 * @param {string} output
 */
export async function bundle(entry, output) {
  await build({
    ...bundleOptions,
    sourcemap: false,
    entryPoints: [entry],
    outfile: output,
    external: ["webgpu", "canvas", "*/tools/browser.mjs", "*/tools/bundle.mjs"], // native the first two (vega does without canvas); the last drives a browser
    // CommonJS packages inside an ES module still call require; a global one clashes with no declaration of theirs.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; globalThis.require = requireFrom(import.meta.url);',
    },
    logLevel: "warning",
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [entry, output] = process.argv.slice(2);
  if (!entry || !output) throw new Error("usage: node tools/bundle.mjs ENTRY.ts OUT.mjs");
  await bundle(entry, output);
}
