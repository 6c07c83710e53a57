// Reads the examples of docstrings: the ```ts blocks behind @example, with the name of what they document and what each line prints.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = fileURLToPath(new URL("../../packages/", import.meta.url));

export interface Example {
  /** The export that the docstring belongs to. */
  readonly name: string;
  /** Where it stands, as path:line. */
  readonly place: string;
  readonly code: string;
  /** What each `console.log` prints, in order: the comment at the end of its line. Null where there is none. */
  readonly printed: readonly (string | null)[];
}

/** The examples of the packages' sources. */
export function examples(packageNames: readonly string[]): Example[] {
  return packageNames.flatMap((name) => {
    const folder = join(packages, name, "src");
    return readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .sort()
      .flatMap((path) => examplesOf(readFileSync(join(folder, path), "utf8"), `packages/${name}/src/${path}`));
  });
}

/** The examples of one file. */
export function examplesOf(source: string, path: string): Example[] {
  const docstrings = source.matchAll(/^( *)\/\*\*\n([\s\S]*?)\*\/\n((?: *\/\/.*\n)*)(.*)/gm);
  const read = [...docstrings].flatMap(({ 2: comment, 4: declaration, index }) => {
    const text = comment.replace(/^ *\* ?/gm, "");
    const blocks = [...text.matchAll(/^@example\n```ts\n([\s\S]*?)^```$/gm)];
    if (blocks.length !== text.split("@example").length - 1)
      throw new Error(`${path}: an @example of ${declaration.trim()} is no \`\`\`ts block on the lines that follow it`);
    return blocks.map(([, code]) => ({
      name: /(?:class|function\*?|interface|type|const) (\w+)/.exec(declaration)?.[1] ?? declaration.trim(),
      place: `${path}:${source.slice(0, index).split("\n").length}`,
      code,
      printed: [...code.matchAll(/^.*\bconsole\.log\(.*$/gm)].map(([line]) => / \/\/ (.*)$/.exec(line)?.[1] ?? null),
    }));
  });
  const written = source.split(/^ *\* @example/m).length - 1;
  if (written !== read.length)
    throw new Error(`${path}: ${written} times @example, of which ${read.length} stand before a declaration`);
  return read;
}

/** Whether a line is what a comment says: spaces do not count, and "…" after a digit stands for further ones. */
export function isPrinted(comment: string, line: string): boolean {
  const bare = (text: string) => text.replace(/\s/g, "");
  const pattern = bare(comment)
    .replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    .replace(/(?<=\d)…/g, "\\d*");
  return new RegExp(`^${pattern}$`).test(bare(line));
}
