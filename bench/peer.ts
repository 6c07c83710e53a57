// A library that is measured beside ours: a process of its own that answers one JSON line for each that it is asked.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { cpu, tensor } from "@pkg/tensor";
import { type BenchCase, drawValues } from "./case.ts";
import type { Contender, Solver } from "./contender.ts";

/** A running library. */
export interface Peer extends Contender {
  /** Its version and what it runs on. */
  readonly description: string;
  /** Of its process. */
  readonly pid: number;
  stop(): void;
}

interface PeerOptions {
  readonly label: string;
  /** The program and its arguments. */
  readonly command: readonly string[];
  readonly isGpu?: boolean;
  /** A rough rate in FLOP/s. Without it the peer is tried on every case, and left out where its first run took too long. */
  readonly expectedRate?: number;
  readonly tolerance?: number;
}

/** What a process answers: one of these. */
interface Answer {
  readonly ready?: string;
  /** Why it does not do what was asked. */
  readonly cannot?: string;
  readonly outputs?: readonly string[];
  readonly ms?: number;
}

/** Starts a library's process. Returns why there is none, if so. */
export async function startPeer({
  label,
  command,
  isGpu = false,
  expectedRate = Number.POSITIVE_INFINITY,
  tolerance,
}: PeerOptions): Promise<Peer | string> {
  const [program, ...args] = command;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const receive = answersOf(child);
  const ask = (request: string, more: object = {}) => {
    child.stdin?.write(`${JSON.stringify({ request, ...more })}\n`);
    return receive();
  };
  const { ready, cannot } = await receive();
  if (!ready) {
    child.kill();
    return cannot ?? "did not start";
  }
  const folder = mkdtempSync(join(tmpdir(), "tweedie-bench-"));
  return {
    label,
    description: ready,
    pid: child.pid ?? 0,
    expectedRate,
    isGpu,
    ...(tolerance && { tolerance }),
    prepare: (given) => prepare(ask, folder, given),
    stop() {
      child.stdin?.end();
      rmSync(folder, { recursive: true });
    },
  };
}

async function prepare(
  ask: (request: string, more?: object) => Promise<Answer>,
  folder: string,
  given: BenchCase,
): Promise<Solver | string> {
  const { problem, part } = given;
  if (!problem) return "has no such operation";
  const inputs = drawValues(given).map(({ shape, values }, k) => {
    const file = join(folder, `input${k}`);
    writeFileSync(file, values);
    return { file, shape };
  });
  const { outputs, cannot } = await ask("prepare", { problem, inputs, folder });
  if (!outputs) return cannot ?? "did not answer";
  const values = outputs.map(readFloats);
  return {
    async outputs() {
      if (!part) return values;
      const host = cpu();
      const all = values.map((v, k) => tensor(v, { backend: host, shape: part.shapes[k] }));
      return Promise.all(part.outputs(all).map((output) => output.data()));
    },
    async time(repeats) {
      const { ms, cannot: reason } = await ask("time", { repeats });
      if (ms === undefined) throw new Error(reason ?? "did not answer");
      return ms;
    },
    async dispose() {
      await ask("release");
    },
  };
}

function readFloats(file: string): Float32Array {
  const { buffer, byteOffset, byteLength } = readFileSync(file);
  return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
}

/** Answers in their order; those that a dead process owes say that it died. */
function answersOf(child: ChildProcess): () => Promise<Answer> {
  const answers: Answer[] = [];
  const waiting: ((answer: Answer) => void)[] = [];
  let ended: Answer | undefined;
  const settle = (answer: Answer) => {
    const next = waiting.shift();
    if (next) next(answer);
    else answers.push(answer);
  };
  if (child.stdout) {
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("{")) settle(JSON.parse(line));
    });
  }
  const end = (reason: string) => {
    ended ??= { cannot: reason };
    while (waiting.length > 0) settle(ended);
  };
  child.on("error", ({ message }) => end(message));
  child.stdin?.on("error", ({ message }) => end(message));
  child.on("close", (code, signal) => end(`its process ended (${signal ?? `exit code ${code}`})`));
  return async () => {
    const answer = answers.shift() ?? ended;
    return answer ?? new Promise((resolve) => waiting.push(resolve));
  };
}
