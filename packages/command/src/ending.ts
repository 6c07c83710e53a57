// How a process ends: by itself, by a signal, or because nobody reads what it prints. Before it does, its devices finish their work.

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Backend } from "@pkg/tensor";

/** Exit codes as shells have them: 128 and the signal's number. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type Signal = keyof typeof SIGNALS;

/** Milliseconds that an abrupt end waits for the devices. */
const GRACE = 2000;

let stop: AbortController | undefined;
let isEnding = false;
let endsWithOutput = false;
const closers = new Set<() => Promise<void>>();

/**
 * Runs a module as the program, if it is the one that Node was started with; a module that is only imported does nothing here.
 * @param module its `import.meta.url`
 * @param run given the command line's words; returns the exit code
 */
export async function runAsProgram(module: string, run: (words: readonly string[]) => Promise<number>): Promise<void> {
  const [, program] = process.argv;
  if (program === undefined || realpathSync(program) !== realpathSync(fileURLToPath(module))) return;
  for (const signal of Object.keys(SIGNALS) as Signal[]) process.on(signal, onSignal);
  process.stdout.on("error", onLostOutput);
  process.stderr.on("error", () => {}); // progress that nobody sees
  const code = await run(process.argv.slice(2));
  await close();
  process.exitCode = code;
}

/**
 * Aborts on the first SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal was closed), for a command that then saves and returns
 * `exitCodeOf(signal)`. The second ends the process, as the first does where no command asked for this.
 */
export function stopSignal(): AbortSignal {
  stop ??= new AbortController();
  return stop.signal;
}

/** The exit code of a command that a signal stopped. */
export function exitCodeOf({ reason }: AbortSignal): number {
  return SIGNALS[reason as Signal] ?? 1;
}

/** Lets a backend finish its work and be disposed before the process ends, which waits for that for two seconds at most. */
export function closedAtEnd<Opened extends Backend>(backend: Opened): Opened {
  closers.add(async () => {
    try {
      await backend.settled();
    } finally {
      backend.dispose();
    }
  });
  return backend;
}

/** From now on a standard output that is closed ends the process. Otherwise the command goes on without it. */
export function dieWithOutput(): void {
  endsWithOutput = true;
}

function onSignal(signal: Signal): void {
  if (stop && !stop.signal.aborted) stop.abort(signal);
  else if (stop && signal === "SIGHUP")
    return; // closing a terminal sends it once from the shell and once from the system
  else if (isEnding) die(signal);
  else void close().then(() => die(signal));
}

/** By the signal's default action, which runs no destructors: those of a driver whose threads are at work crash. */
function die(signal: Signal): void {
  if (process.platform === "win32") process.exit(SIGNALS[signal]);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

let isLost = false;

function onLostOutput({ code, message }: NodeJS.ErrnoException): void {
  if (isLost) return;
  isLost = true;
  const isUnread = code === "EPIPE";
  if (!endsWithOutput) {
    if (!isUnread) process.stderr.write(`standard output: ${message}; going on without it\n`);
    return;
  }
  if (!isUnread) process.stderr.write(`error: standard output: ${message}\n`);
  void close().then(() => process.exit(isUnread ? 141 : 1)); // 141: as if by SIGPIPE, which Node ignores
}

/** Waits for what is to be done before the end, at most for GRACE. */
async function close(): Promise<void> {
  isEnding = true;
  const all = Promise.allSettled([...closers].map((closer) => closer()));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, GRACE);
  });
  await Promise.race([all, late]);
  clearTimeout(timer);
}
