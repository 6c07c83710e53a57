// Reads the recipes of CONTRIBUTING.md: what each adds to which file, and the commands that it ends with.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** One block of code, and where the sentence before it says that it goes. */
export interface Edit {
  readonly path: string;
  readonly place: "as" | "at the end of" | "after" | "before" | "instead of";
  /** The line that is looked for, or a part of it. */
  readonly line?: string;
  readonly code: string;
}

export interface Recipe {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** As they are typed, without `npx -y pnpm@…`. */
  readonly commands: readonly string[];
}

/** The sections of `## Recipes`, and the commands that its introduction names for all of them. */
export function readRecipes(text: string): { readonly recipes: readonly Recipe[]; readonly forAll: readonly string[] } {
  const section = /^## Recipes\n([\s\S]*?)^## /m.exec(text)?.[1] ?? "";
  const [introduction, ...parts] = section.split(/^### /m);
  const recipes = parts.map((part) => ({
    name: part.slice(0, part.indexOf("\n")),
    edits: editsOf(part),
    commands: commandsOf(part),
  }));
  return { recipes, forAll: commandsOf(introduction) };
}

function editsOf(part: string): Edit[] {
  // Paragraphs are told apart by empty lines, of which a block may have some.
  return [...part.matchAll(/((?:[^\n]+\n)+)\n```\w*\n([\s\S]*?)```\n/g)].map(([, before, code]) => {
    const sentence = before.replaceAll("\n", " ");
    const inside = /in `([^`]+)`,? (after|before|instead of) `([^`]+)`:? $/i.exec(sentence);
    if (inside) return { path: inside[1], place: inside[2] as Edit["place"], line: inside[3], code };
    const whole = /(as|at the end of) `([^`]+)`:? $/i.exec(sentence);
    if (whole) return { path: whole[2], place: whole[1].toLowerCase() as Edit["place"], code };
    throw new Error(`CONTRIBUTING.md: "${sentence.trim()}" does not say where its code goes`);
  });
}

function commandsOf(part: string): string[] {
  return [...part.matchAll(/`npx -y pnpm@\S+ ([^`]+)`/g)].map(([, command]) => command.replaceAll("\n", " "));
}

/** Changes a file of a copy as an edit says. @throws Error when its line is not there, or is there more than once */
export function apply({ path, place, line, code }: Edit, root: string): void {
  const file = join(root, path);
  if (place === "as") {
    if (existsSync(file)) throw new Error(`${path} is there already`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, code);
    return;
  }
  const text = readFileSync(file, "utf8");
  if (place === "at the end of") {
    writeFileSync(file, `${text.trimEnd()}\n\n${code}`);
    return;
  }
  const lines = text.split("\n");
  const at = lines.flatMap((one, k) => (one.includes(line ?? "") ? [k] : []));
  if (at.length !== 1) throw new Error(`${path}: "${line}" is in ${at.length} lines, want one`);
  const from = place === "after" ? at[0] + 1 : at[0];
  lines.splice(from, place === "instead of" ? 1 : 0, ...code.trimEnd().split("\n"));
  writeFileSync(file, lines.join("\n"));
}
