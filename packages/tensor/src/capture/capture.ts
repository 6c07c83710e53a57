// capture: a repeated step, recorded once and replayed as a flat list of commands, the way a CUDA graph is.

import { expectFunction } from "../argument.ts";
import { isRecording } from "../autograd/graph.ts";
import type { Backend, Recording, Replay } from "../backend.ts";
import { blank, copyOf, overwrite } from "../compute.ts";
import { isObserved } from "../debug/observer.ts";
import { allOrNothing, keep, tensorsIn, tidy } from "../memory/memory.ts";
import { Tensor, tensorOf } from "../tensor.ts";
import {
  abandon,
  differenceOf,
  isInPlace,
  outputOf,
  type Run,
  separate,
  settle,
  type Template,
  templateOf,
} from "./capturedRun.ts";
import { currentSession, lengthChanged, refresh, Session } from "./session.ts";

/** What a captured function takes: tensors, and arrays of numbers for what it hands to `perStep` and `tensor` to read. */
export type CaptureArgument = Tensor | readonly (number | null)[];

/** What a captured function gives: tensors, in arrays and plain objects. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is one
export type CaptureResult = Tensor | void | readonly CaptureResult[] | { readonly [name: string]: CaptureResult };

/** A captured function. */
export interface Captured<Args extends readonly CaptureArgument[], Result> {
  /** One step. @throws what the function throws, and what `capture` lists */
  (...args: Args): Result;
  /** Whether the last call was a replay. */
  readonly isReplaying: boolean;
  /**
   * One step like any other that runs as it is, and is then replayed from the same state, to check that both give the same bits.
   * Where nothing is replayed yet, or ever, it only runs. @throws Error naming the first tensor and element that differ
   */
  verify(...args: Args): Promise<Result>;
  /** Frees its buffers; calls throw from now on. */
  dispose(): void;
}

/** What an argument is: "Tensor(float32 [2] on cpu)". */
interface Kind {
  readonly text: string;
  readonly backend: Backend | null;
}

/** How many steps may differ from the one before until that is an error. */
const PATIENCE = 8;
/** Calls at powers of two from here on run as they are, and are compared with what is replayed. */
const FIRST_CHECK = 8;

/**
 * A function of tensors whose steps all queue the same work: a training step, a network's forward pass. On a WebGPU backend the first
 * calls run as they are and are recorded; once two have queued the same commands, further calls replay them: neither the function
 * nor any op runs any JavaScript, and the buffers in between, planned by their lifetimes, are shared by all captures of the backend.
 * Other backends run the function every time. Results are new tensors each time, and the same bits either way. A call that throws has
 * done nothing (see `allOrNothing`), but for one that throws because its step differs from the one before: that has run.
 *
 * What changes from step to step has to be data: arguments, tensors made outside, draws of tensors from random streams, and what
 * `perStep` computes. Numbers from elsewhere (a learning rate in a closure) are compared between recorded steps, the first two and
 * then calls 8, 16, 32, …, which run as they are; if one has changed, that call throws. Inside of the function throw, on all
 * backends: reading tensors, `tensor` of given values (hand it a function instead), draws on the host outside of `perStep`, `keep`,
 * and disposing what was made outside. A tensor made outside that was given other storage meanwhile (loaded weights) is seen, and
 * the step recorded again.
 * @throws Error from calls, for any of these; for arguments of another shape, type or backend than at first; when steps go on to
 * differ; and inside a function that is being differentiated
 */
export function capture<Args extends readonly CaptureArgument[], Result extends CaptureResult>(
  f: (...args: Args) => Result,
): Captured<Args, Result> {
  expectFunction("capture", "f", f);
  const captured = new Capture(f);
  const step = (...args: Args): Result => captured.step(args);
  return Object.defineProperties(step, {
    isReplaying: { get: () => captured.isReplaying },
    verify: { value: (...args: Args) => captured.verify(args) },
    dispose: { value: () => captured.dispose() },
  }) as Captured<Args, Result>; // with the properties just defined
}

class Capture<Args extends readonly CaptureArgument[], Result extends CaptureResult> {
  isReplaying = false;
  private readonly f: (...args: Args) => Result;
  /** The arguments of the call that is under way. */
  private args: readonly CaptureArgument[] = [];
  /** What the arguments have to be, once there was a call. */
  private kinds: readonly Kind[] | null = null;
  /** Where recorded and replayed steps find the arguments that are tensors. */
  private inputs: Tensor[] = [];
  private backend: Backend | null = null;
  /** The last recorded step, and whether the one before was the same. */
  private run: Run | null = null;
  private isSteady = false;
  private replay: Replay | null = null;
  private calls = 0;
  private changes = 0;
  private isDisposed = false;
  /** Whether the next call has to run as it is. */
  private isChecked = false;

  constructor(f: (...args: Args) => Result) {
    this.f = f;
  }

  step(args: Args): Result {
    if (this.isDisposed) throw new Error("capture: this captured function is disposed, want a live one");
    if (currentSession()) return this.f(...args); // a part of the outer one
    if (isRecording()) throw new Error("capture: called inside a function that is differentiated, want it outside");
    this.kinds ??= args.map(kindOf);
    checkArguments(this.kinds, args);
    if (isObserved()) return allOrNothing(() => this.f(...args));
    this.args = args;
    const isFirst = this.inputs.length === 0;
    const isChecked = isCheck(this.calls + 1) || this.isChecked;
    this.isChecked = false;
    try {
      const { run } = this;
      this.isReplaying = run !== null && this.isSteady && !isChecked && isInPlace(run.session);
      const result = this.isReplaying && run ? this.replayed(run) : this.recorded();
      this.calls++;
      return result;
    } catch (error) {
      if (isFirst) this.forgetInputs();
      throw error;
    } finally {
      this.args = [];
    }
  }

  async verify(args: Args): Promise<Result> {
    const temporary: Tensor[] = [];
    const copies = (tensors: readonly Tensor[]): Tensor[] => {
      const from = temporary.length;
      for (const tensor of tensors) temporary.push(keep(tensorOf(copyOf(tensor))));
      return temporary.slice(from);
    };
    let result: Result | undefined;
    try {
      const state = this.run ? [...this.run.session.found.keys()] : [];
      const before = copies(state);
      this.isChecked = true;
      result = this.step(args);
      const { run } = this;
      if (!run || !this.isSteady) return result;
      const plain = copies([...state, ...tensorsIn(result)]);
      for (const [k, copy] of before.entries()) overwrite(state[k], copy);
      const replayed = this.replayedAgain(run, args, () => {
        for (const [k, tensor] of state.entries()) overwrite(tensor, plain[k]);
      });
      temporary.push(...tensorsIn(replayed));
      const again = copies([...state, ...tensorsIn(replayed)]); // since others may change the state while this waits
      for (const [k, copy] of plain.entries()) await checkSame(again[k], copy);
      return result;
    } catch (error) {
      for (const tensor of tensorsIn(result)) tensor.dispose();
      throw error;
    } finally {
      for (const tensor of temporary) tensor.dispose();
    }
  }

  dispose(): void {
    this.release();
    this.run = null;
    this.forgetInputs();
    this.isDisposed = true;
  }

  private replayed(run: Run, uploads = () => uploadsOf(run.session)): Result {
    const { recording, outputs, template } = run;
    this.replay ??= recording.replay(outputs.map(({ buffer }) => buffer));
    const { replay } = this;
    this.takeArguments();
    return allOrNothing(() => {
      const tensors = outputs.map((output) => tensorOf(blank(output.backend, output, "capture")));
      const buffers = tensors.map(({ storage }) => storage.buffer);
      replay.run(buffers, uploads);
      return template(tensors) as Result; // f gave the template
    });
  }

  /** A replay of the step that has just run. @param onError puts the state back to what that step made of it */
  private replayedAgain(run: Run, args: Args, onError: () => void): Result {
    this.args = args;
    try {
      return this.replayed(run, () => run.session.uploads.map(({ data }) => data));
    } catch (error) {
      onError();
      throw error;
    } finally {
      this.args = [];
    }
  }

  private recorded(): Result {
    this.release(); // the step needs the memory itself
    const { args } = this;
    this.backend ??= args.find(isTensor)?.backend ?? null;
    const { backend } = this;
    const inputs = backend?.record ? this.takeArguments() : args.filter(isTensor).map((arg) => arg.detach());
    const session = new Session(backend, inputs, backend?.record !== undefined);
    const stop = backend?.record?.((attrs) => session.isLive(attrs));
    let recording: Recording | undefined;
    let template: Template = () => undefined;
    let outputs: Tensor[] = [];
    let obstacle = "";
    const run = (): Tensor[] => {
      const rest = [...inputs];
      const given = args.map((arg, k) => (arg instanceof Tensor ? rest.shift() : session.value(() => this.numbers(k))));
      const found: Tensor[] = [];
      template = templateOf(this.f(...(given as unknown as Args)), "its result", found); // args or what stands for them
      return found.map((tensor) => separate(tensor, session));
    };
    try {
      outputs = session.run(() => allOrNothing(run));
      obstacle = session.run(() => settle(session));
    } finally {
      abandon(session);
      recording = stop?.();
      if (!backend?.record) for (const input of inputs) input.dispose();
    }
    this.backend = session.backend;
    try {
      if (recording) this.compare({ session, recording, template, outputs: outputs.map(outputOf) }, obstacle);
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    }
    return template(outputs) as Result; // f gave the template
  }

  /** Two recorded steps that are the same let the next be replayed. @throws Error when that cannot be hoped for */
  private compare(run: Run, obstacle: string): void {
    const difference = obstacle ? { reason: obstacle, kind: "place" } : this.run && differenceOf(this.run, run);
    const isRepeating = this.isSteady;
    this.isSteady = this.run !== null && difference === null;
    this.run = obstacle ? null : run;
    if (this.isSteady) this.changes = 0;
    // Once steps repeat, tensors may come to lie elsewhere and kernels get other tilings; that other ops run is an error.
    const isFinal = difference?.kind === "numbers" || (isRepeating && difference?.kind === "ops");
    if (difference && (isFinal || ++this.changes > PATIENCE)) {
      throw new Error(`capture: what a replay would repeat is not the same at every step: ${difference.reason}`);
    }
  }

  /** Copies the arguments to where the recorded commands read them. */
  private takeArguments(): readonly Tensor[] {
    const tensors = this.args.filter(isTensor);
    if (this.inputs.length === 0) {
      const made = tidy(() => tensors.map((tensor) => tensorOf(blank(tensor.backend, tensor, "capture"))));
      this.inputs = made.map((tensor) => keep(tensor));
    }
    for (const [k, tensor] of tensors.entries()) overwrite(this.inputs[k], tensor);
    return this.inputs;
  }

  private forgetInputs(): void {
    for (const input of this.inputs) input.dispose();
    this.inputs = [];
  }

  private numbers(k: number): (number | null)[] {
    return [...(this.args[k] as readonly (number | null)[])]; // no tensor, as at first
  }

  private release(): void {
    this.replay?.dispose();
    this.replay = null;
  }
}

function isTensor(arg: CaptureArgument): arg is Tensor {
  return arg instanceof Tensor;
}

function isCheck(calls: number): boolean {
  return calls >= FIRST_CHECK && (calls & (calls - 1)) === 0;
}

function kindOf(arg: CaptureArgument, k: number): Kind {
  if (arg instanceof Tensor) return { text: `${arg}`, backend: arg.backend };
  if (Array.isArray(arg)) return { text: `an array of ${arg.length} numbers`, backend: null };
  throw new Error(
    `capture: argument ${k} is ${typeof arg === "object" ? "no array" : `a ${typeof arg}`}, want a tensor or an array of numbers`,
  );
}

/** @throws Error naming both arguments where one is not of the first call's kind */
function checkArguments(kinds: readonly Kind[], args: readonly CaptureArgument[]): void {
  if (args.length !== kinds.length) {
    throw new Error(`capture: ${args.length} arguments, and ${kinds.length} at first, want as many every time`);
  }
  for (const [k, arg] of args.entries()) {
    const { text, backend } = kindOf(arg, k);
    if (arg instanceof Tensor && arg.disposed) {
      throw new Error(`capture: argument ${k}, ${text}, is disposed, want a live tensor`);
    }
    const first = kinds[k];
    if (text !== first.text || backend !== first.backend) {
      const other = text === first.text ? ", opened on its own" : "";
      throw new Error(
        `capture: argument ${k} is ${text}${other}, and was ${first.text} at first, want the same shape, type and backend every time`,
      );
    }
  }
}

/** Computes the step's values on the host, and from them what it writes. */
function uploadsOf({ sources, uploads }: Session): ArrayLike<number>[] {
  for (const { target, compute } of sources) refresh(target, compute());
  return uploads.map(({ data, compute }) => sameLength(data, compute()));
}

/** @throws Error where two tensors differ in a bit */
async function checkSame(replayed: Tensor, plain: Tensor): Promise<void> {
  const [found, wanted] = [await replayed.data(), await plain.data()];
  const [a, b] = [found, wanted].map(({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length));
  const at = a.findIndex((bits, i) => bits !== b[i]);
  if (at !== -1)
    throw new Error(`capture: element ${at} of ${replayed} is ${found[at]} replayed and ${wanted[at]} otherwise`);
}

function sameLength(before: ArrayLike<number>, now: ArrayLike<number>): ArrayLike<number> {
  if (before.length !== now.length) throw new Error(lengthChanged(before.length, now.length));
  return now;
}
