// A folder for programs that documents show: inside the repository, where its packages resolve, and where git does not look.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Makes the folder; whoever asked removes it. */
export function programFolder(name: string): string {
  mkdirSync(join(root, "out"), { recursive: true });
  return mkdtempSync(join(root, `out/${name}-`));
}

/** What the compiler says of the programs in the folder; nothing where all are right. */
export async function compilerErrors(folder: string): Promise<string> {
  const compilerOptions = { noEmit: true, composite: false, declarationMap: false, sourceMap: false, rootDir: root };
  const program = { extends: "../../tsconfig.base.json", compilerOptions, include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(program));
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const run = promisify(execFile)(process.execPath, [compiler, "-p", folder], { cwd: root });
  return run.then(
    () => "",
    ({ stdout, stderr }) => `${stdout}${stderr}`,
  );
}
