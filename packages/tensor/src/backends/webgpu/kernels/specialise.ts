// Turns a kernel file into one variant of itself by rewriting `const`, `alias` and one-line `fn` declarations.

/**
 * The kernel with new values for some of its declarations.
 * @param constants by name: the value of a `const` (also of a workgroup size), the type of an `alias`, the body of a one-line `fn`
 * @throws Error when the kernel declares no such name on a line of its own
 */
export function specialise(kernel: string, constants: Readonly<Record<string, string | number | boolean>>): string {
  let text = kernel;
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
