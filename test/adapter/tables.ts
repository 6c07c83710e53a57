// The answers of adapters as Markdown: a table per topic, a column per adapter.
import type { Answers } from "./probe.ts";
import { probes } from "./probes.ts";

/** What one adapter answered, by topic. */
export interface Recorded {
  /** What stands above its column. */
  readonly name: string;
  readonly adapter: string;
  readonly answers: Readonly<Record<string, Answers>>;
}

/** All topics, with what the engine does about each. */
export function tables(all: readonly Recorded[]): string {
  return probes
    .map(({ topic, guard }) => {
      const labels = new Set(all.flatMap(({ answers }) => Object.keys(answers[topic] ?? {})));
      const rows = [...labels].map((label) =>
        row([label, ...all.map(({ answers }) => answers[topic]?.[label] ?? "–")]),
      );
      const head = `${row(["asked", ...all.map(({ name }) => name)])}\n|${"---|".repeat(1 + all.length)}`;
      return `### ${topic}\n\n${guard}\n\n${head}\n${rows.join("\n")}\n`;
    })
    .join("\n");
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
