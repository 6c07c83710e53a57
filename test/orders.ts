// `pnpm orders`: measures the order and bias of every sampler, and writes them into docs/samplers.md.
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { answer, type Command, runAsProgram } from "@pkg/command";
import { samplerTables } from "./diffusion/sampling/samplerTable.ts";

const DOCUMENT = "docs/samplers.md";

export const orders: Command = {
  name: "orders",
  about: "Measures the order and bias of every sampler, and writes them into docs/samplers.md. Takes minutes.",
  flags: {},
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(orders, words));

async function main(): Promise<number> {
  accessSync(DOCUMENT, constants.W_OK); // rather than after minutes
  const tables = await samplerTables();
  let text = readFileSync(DOCUMENT, "utf8");
  for (const [name, table] of Object.entries(tables)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from === -1 || to < from)
      throw new Error(`orders: no place for ${name} in ${DOCUMENT}, want ${begin} … ${end}`);
    text = `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`;
    process.stdout.write(`${name}\n${table}\n\n`);
  }
  writeFileSync(DOCUMENT, text);
  return 0;
}
