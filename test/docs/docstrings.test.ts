// Every name that a package exports, and every member of what it exports, has a sentence where it is declared: editors show it.
import { fileURLToPath } from "node:url";
import ts from "typescript-5.9";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const packages = ["tensor", "nn", "diffusion", "command"];
const faceOf = (name: string): string => `${root}packages/${name}/src/index.ts`;
const program = ts.createProgram(packages.map(faceOf), {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  customConditions: ["x-source"],
  allowImportingTsExtensions: true,
  noEmit: true,
  types: [],
});
const checker = program.getTypeChecker();
const HIDDEN = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;

type Named = readonly [name: string, symbol: ts.Symbol];

/** What a package exports, by the names that users import. */
function exportsOf(name: string): readonly Named[] {
  const source = program.getSourceFile(faceOf(name));
  const module = source && checker.getSymbolAtLocation(source);
  if (!module) throw new Error(`${name}: no exports, want a module`);
  return checker.getExportsOfModule(module).map((symbol) => {
    const isAlias = symbol.flags & ts.SymbolFlags.Alias;
    return [symbol.name, isAlias ? checker.getAliasedSymbol(symbol) : symbol];
  });
}

/** The methods and fields of a class or an interface that are declared in this repository, inherited ones included. */
function membersOf([owner, symbol]: Named): readonly Named[] {
  return checker
    .getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))
    .filter(({ declarations = [] }) => declarations.length > 0 && declarations.every(isOurs))
    .filter(({ declarations = [] }) => declarations.every((at) => (ts.getCombinedModifierFlags(at) & HIDDEN) === 0))
    .map((member) => [`${owner}.${member.name}`, member]);
}

function isOurs(declaration: ts.Declaration): boolean {
  return declaration.getSourceFile().fileName.startsWith(`${root}packages/`);
}

/** The names without words before the first tag, and where to write them. */
function silent(named: readonly Named[]): readonly string[] {
  return named
    .filter(([, symbol]) => ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim().length < 3)
    .map(([name, { declarations = [] }]) => {
      const [at] = declarations;
      const source = at?.getSourceFile();
      const line = source?.getLineAndCharacterOfPosition(at.getStart()).line ?? 0;
      return `${name}: ${source?.fileName.slice(root.length)}:${line + 1}`;
    });
}

describe.each(packages)("%s", (name) => {
  test("every export has a sentence", () => {
    const exported = exportsOf(name);
    expect(exported.length).toBeGreaterThan(5);
    expect(silent(exported)).toEqual([]);
  });

  test("every field and method of an exported interface has a sentence", () => {
    const interfaces = exportsOf(name).filter(([, { flags }]) => flags & ts.SymbolFlags.Interface);
    const members = interfaces.flatMap(membersOf);
    expect(members.length).toBeGreaterThan(10);
    expect(silent(members)).toEqual([]);
  });
});

test("every method and property of Tensor has a sentence", () => {
  const members = exportsOf("tensor")
    .filter(([name]) => name === "Tensor")
    .flatMap(membersOf);
  expect(members.map(([name]) => name)).toEqual(
    expect.arrayContaining(["Tensor.add", "Tensor.matmul", "Tensor.data", "Tensor.shape"]),
  );
  expect(members.length).toBeGreaterThan(100);
  expect(silent(members)).toEqual([]);
});

test("a name without words is found, in a declaration that has tags alone too", () => {
  const text =
    "export interface Bare { x: number }\n/** @throws Error */\nexport function tagged(): void {}\n/** x². */\nexport const told = 1;";
  const host = ts.createCompilerHost({});
  const read = host.getSourceFile;
  host.getSourceFile = (name, target) =>
    name === "bare.ts" ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2023) : read(name, target);
  const bare = ts.createProgram(["bare.ts"], { noLib: true }, host);
  const source = bare.getSourceFile("bare.ts");
  const own = bare.getTypeChecker();
  const module = source && own.getSymbolAtLocation(source);
  const words = module
    ? own.getExportsOfModule(module).map((symbol) => ts.displayPartsToString(symbol.getDocumentationComment(own)))
    : [];
  expect(words).toEqual(["", "", "x²."]);
});
