// Which process a file on disk belongs to, as text that fits into the file's name, and whether that process still lives.
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Matches the text of an owner. */
export const OWNER = /\d+-\d+-[0-9a-f]{8}/;

/** Seconds without a sign of life after which a process that cannot be looked up (another machine's, another container's) counts as gone. */
export const SILENT = 60;

/** What this process writes: its id, when it began in ticks of the machine's clock (0 where unknown), and where ids are its own. */
export const OWN = `${process.pid}-${beginningOf("self") ?? 0}-${machine()}`;

/** Whether an owner's process can be looked up by its id. */
export function isHere(owner: string): boolean {
  return owner.endsWith(machine());
}

/** @param silent seconds since the process last gave a sign of life */
export function isAlive(owner: string, silent: number): boolean {
  const [pid, began] = owner.split("-").map(Number);
  if (!isHere(owner)) return silent < SILENT;
  if (!hasProcess(pid)) return false;
  const now = beginningOf(pid);
  // Where the system does not tell, another process may have been given the id.
  return now === undefined || began === 0 ? silent < SILENT : now === began;
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"; // EPERM: alive and another user's
  }
}

/** When a process began, on Linux; 0 of one that has ended and nobody has asked how. */
function beginningOf(pid: number | "self"): number | undefined {
  const stat = readText(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The second field is a name in brackets, which may hold anything.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (!fields) return undefined;
  return fields[0] === "Z" || fields[0] === "X" ? 0 : Number(fields[19]);
}

/** Names what process ids belong to: a machine, since it was started; on Linux a container of it. */
function machine(): string {
  const boot = readText(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"));
  const container = readText(() => readlinkSync("/proc/self/ns/pid"));
  return createHash("sha256").update(`${hostname()} ${boot} ${container}`).digest("hex").slice(0, 8);
}

function readText(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
