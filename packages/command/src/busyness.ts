// How much of the machine others used while something was measured: what makes times long that would be short.
import { readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";

/** Of a stretch of time. */
export interface Busyness {
  /** Mean number of processes that ran or wanted to, in the minute before the beginning and before the end. */
  readonly load: readonly [number, number];
  /** The share of all cores' time that other processes used, in [0, 1]. Null in older files. */
  readonly others: number | null;
}

/** Others that use more than this share make times longer. */
const MUCH = 0.1;

/**
 * Begins a stretch; the function that it returns ends it, and may be called again for a longer one.
 * @param children processes whose time is no other's: what is measured besides this process
 */
export function watchBusyness(children: () => readonly number[] = () => []): () => Busyness {
  const [load] = loadavg();
  const [all, own] = [usedSeconds(), ownSeconds(children())];
  const began = performance.now();
  return () => {
    const cores = cpus().length;
    const seconds = (performance.now() - began) / 1000;
    const others = usedSeconds() - all - (ownSeconds(children()) - own);
    // The system counts in ticks of 10 ms.
    return { load: [load, loadavg()[0]], others: Math.min(1, Math.max(0, others / (cores * Math.max(seconds, 0.01)))) };
  };
}

/** Whether times that were measured meanwhile are longer than the machine's own. */
export function isBusy({ others }: Busyness): boolean {
  return others !== null && others > MUCH;
}

/** One line: "load 0.5 → 1.5, others used 12 % of the cores: BUSY, …". */
export function describeBusyness(busyness: Busyness): string {
  const { load, others } = busyness;
  const averages = `load average ${load.map((value) => value.toFixed(1)).join(" → ")}`;
  if (others === null || others === undefined) return averages;
  const share = `${averages}, other processes used ${(100 * others).toFixed(0)} % of the cores`;
  return isBusy(busyness) ? `${share}: BUSY, so that times are longer and wider than this machine's own` : share;
}

/** Seconds that all cores have worked. */
function usedSeconds(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000;
}

/** Seconds that this process and those have worked. */
function ownSeconds(children: readonly number[]): number {
  const { user, system } = process.cpuUsage();
  return children.reduce((sum, pid) => sum + secondsOf(pid), (user + system) / 1e6);
}

/** Of a living process, where the system tells; 0 elsewhere. */
function secondsOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" "); // the name before may hold anything
    return (Number(fields[11]) + Number(fields[12])) / 100; // utime and stime in ticks, which Linux tells as hundredths
  } catch {
    return 0;
  }
}
