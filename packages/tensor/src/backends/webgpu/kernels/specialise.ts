// Turns a kernel file into one variant of itself: joins it to a library, then rewrites `const`, `alias` and one-line `fn` declarations.

/**
 * The kernel with the library behind it, and new values for some of the declarations of both.
 * @param constants by name: the value of a `const` (also of a workgroup size), the type of an `alias`, the body of a one-line `fn`
 * @param library functions and what belongs to them. A name may be declared in both texts. Then the longer declaration counts, and of two
 * one-line ones the kernel's. So each text is valid by itself: one-line declarations stand for what the other text has.
 * @throws Error when neither declares such a name on a line of its own, or both declare a function differently
 */
export function specialise(
  kernel: string,
  constants: Readonly<Record<string, string | number | boolean>>,
  library = "",
): string {
  let text = library === "" ? kernel : join(kernel, library);
  for (const [name, value] of Object.entries(constants)) {
    const declaration = new RegExp(
      `^(?:((?:const ${name}(?:: \\w+)?|alias ${name}) = )[^;\\n]*(?=;)|(fn ${name}\\([^\\n]*\\{ ?)[^\\n]*\\}$)`,
      "m",
    );
    if (!declaration.test(text)) {
      const known = [...kernel.matchAll(/^(?:const|alias|fn) (\w+)/gm)].map(([, found]) => found).join(", ");
      throw new Error(
        `specialise: no one-line const, alias or fn ${name} in "${kernel.split("\n", 1)[0]}", want one of ${known}`,
      );
    }
    text = text.replace(declaration, (_, before?: string, asFn?: string) =>
      asFn ? `${asFn}${value} }` : `${before}${value}`,
    );
  }
  return text;
}

/** Both texts, less the one-line declarations of names that are declared elsewhere. */
function join(kernel: string, library: string): string {
  const lines = [...kernel.split("\n"), ...library.split("\n")];
  const counting = new Map<string, number>();
  const stays = lines.map(() => true);
  for (const [at, line] of lines.entries()) {
    const name = /^(?:const|alias|fn|struct) (\w+)/.exec(line)?.[1];
    if (name === undefined) continue;
    const before = counting.get(name);
    if (before !== undefined && signatureOf(line) !== signatureOf(lines[before])) {
      throw new Error(`specialise: ${signatureOf(line)} and ${signatureOf(lines[before])}, want one declaration`);
    }
    if (before === undefined) {
      counting.set(name, at);
    } else if (isShort(line)) {
      stays[at] = false;
    } else if (isShort(lines[before])) {
      stays[before] = false;
      counting.set(name, at);
    } else {
      throw new Error(`specialise: two declarations of ${name} on several lines, want one`);
    }
  }
  return lines.filter((_, at) => stays[at]).join("\n");
}

/** Whether a declaration ends on the line where it begins. */
function isShort(line: string): boolean {
  return /[;}](?: *\/\/.*)?$/.test(line);
}

/** What a function takes and returns, and what anything else is. */
function signatureOf(line: string): string {
  return line.startsWith("fn") ? line.slice(0, line.indexOf(" {")) : line.split(" ", 2).join(" ");
}
