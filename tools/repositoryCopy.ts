// A copy of the repository to change and test: its packages are its own, and its other dependencies are links to those here.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const asTheyAre = { recursive: true, verbatimSymlinks: true };
const root = fileURLToPath(new URL("..", import.meta.url));

/** Copies what git knows or would add, into a new folder that the caller removes. */
export function copyOfRepository(name: string): string {
  const target = mkdtempSync(join(tmpdir(), `tweedie-${name}-`));
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  for (const file of execFileSync("git", list, { cwd: root, encoding: "utf8" }).split("\0")) {
    if (file === "" || !existsSync(join(root, file))) continue;
    mkdirSync(dirname(join(target, file)), { recursive: true });
    cpSync(join(root, file), join(target, file));
  }
  const modules = join(target, "node_modules");
  mkdirSync(modules);
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name === ".cache" || name === "@pkg") cpSync(join(root, "node_modules", name), join(modules, name), asTheyAre);
    else symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const member of [...readdirSync(join(root, "packages")).map((name) => `packages/${name}`), "tools/reference"]) {
    const own = join(root, member, "node_modules");
    if (existsSync(own)) cpSync(own, join(target, member, "node_modules"), asTheyAre);
  }
  return target;
}
