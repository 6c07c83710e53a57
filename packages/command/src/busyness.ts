// How busy other processes kept the machine during a measurement. Busy cores make times longer.
import { readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";

/** How busy the machine was during a measurement. */
export interface Busyness {
  /** The mean number of running or waiting processes, in the minute before the start and before the end. */
  readonly load: readonly [number, number];
  /** The share of all cores' time that other processes used, in [0, 1]; null in older files. */
  readonly others: number | null;
}

/** A larger share makes times longer. */
const MUCH = 0.1;

/**
 * Starts a measurement. The function that it returns ends it, and may be called again for a longer one.
 * @param children processes whose time belongs to the measurement while they live; on Linux that of children that have ended does anyway
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

/** Whether other processes made the measured times longer. */
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

/** Seconds that this process, its children that have ended, and living ones have worked. */
function ownSeconds(children: readonly number[]): number {
  const { user, system } = process.cpuUsage();
  const { ended } = secondsOf("self");
  return children.reduce((sum, pid) => sum + secondsOf(pid).own, (user + system) / 1e6 + ended);
}

/** Seconds that a living process and its children that have ended have worked, where the system tells; otherwise 0. */
function secondsOf(pid: number | "self"): { own: number; ended: number } {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" "); // the name before may hold anything
    // utime, stime, cutime and cstime in ticks, which Linux tells as hundredths
    const [user, system, endedUser, endedSystem] = fields.slice(11, 15).map((ticks) => Number(ticks) / 100);
    return { own: user + system, ended: endedUser + endedSystem };
  } catch {
    return { own: 0, ended: 0 };
  }
}
