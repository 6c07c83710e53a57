// `pnpm orders`: measures the order and bias of every sampler, and writes them into docs/samplers.md.
import { readFileSync, writeFileSync } from "node:fs";
import { samplerTables } from "./diffusion/samplerTable.ts";

const DOCUMENT = "docs/samplers.md";

const tables = await samplerTables();
let text = readFileSync(DOCUMENT, "utf8");
for (const [name, table] of Object.entries(tables)) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`orders: no place for ${name} in ${DOCUMENT}, want ${begin} … ${end}`);
  text = `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`;
  process.stdout.write(`${name}\n${table}\n\n`);
}
writeFileSync(DOCUMENT, text);
