// Writes each kernel as a JavaScript module into dist/, for consumers that can't import .wgsl files.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const here = new URL("./", import.meta.url);
const dist = new URL("dist/", here);
rmSync(dist, { recursive: true, force: true });
for (const file of readdirSync(here, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".wgsl"))) {
  const source = readFileSync(new URL(file, here), "utf8");
  const module = new URL(file.replace(/\.wgsl$/, ".js"), dist);
  mkdirSync(new URL("./", module), { recursive: true });
  writeFileSync(module, `export default ${JSON.stringify(source)};\n`);
}
