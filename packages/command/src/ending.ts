// How a process ends: normally, by a signal, or because nobody reads its output. Its devices finish their work first.

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Backend } from "@pkg/tensor";

/** Exit codes as in shells: 128 plus the number of the signal. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type Signal = keyof typeof SIGNALS;

/** Milliseconds that an abrupt end waits for the devices. */
const GRACE = 2000;

let stop: AbortController | undefined;
let isEnding = false;
let endsWithOutput = false;
const closers = new Set<() => Promise<void>>();

/**
 * Runs a module as the program if Node was started with it. A module that is imported does nothing here.
 * @param module its `import.meta.url`
 * @param run takes the words of the command line and returns the exit code
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
 * Aborts on the first SIGINT (Ctrl-C), SIGTERM or SIGHUP (closed terminal). A command that asks for it saves, and returns
 * `exitCodeOf(signal)`; a second signal ends the process. Without such a command the first signal ends it.
 */
export function stopSignal(): AbortSignal {
  stop ??= new AbortController();
  return stop.signal;
}

/** The exit code of a command that a signal stopped. */
export function exitCodeOf({ reason }: AbortSignal): number {
  return SIGNALS[reason as Signal] ?? 1;
}

/** Lets a backend finish its work and be disposed before the process ends. The end waits at most two seconds. */
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

/** From now on the process ends when its standard output is closed. Otherwise it goes on without output. */
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

/** Ends by the signal's default action. It runs no destructors: those of a driver whose threads still work crash. */
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

/** Waits for the devices, at most for GRACE. */
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
