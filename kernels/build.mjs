// Writes each kernel as a JavaScript module into dist/, for consumers that can't import .wgsl files.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const here = new URL("./", import.meta.url);
const dist = new URL("dist/", here);
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
for (const file of readdirSync(here).filter((name) => name.endsWith(".wgsl"))) {
  const source = readFileSync(new URL(file, here), "utf8");
  writeFileSync(new URL(file.replace(/\.wgsl$/, ".js"), dist), `export default ${JSON.stringify(source)};\n`);
}
