// What every command of this repository shares: flags, help, errors in one line, and how a process ends.

export { type Busyness, describeBusyness, isBusy, watchBusyness } from "./busyness.ts";
export { answer, answerOneOf, type Command, readArguments } from "./command.ts";
export { closedAtEnd, exitCodeOf, runAsProgram, stopSignal } from "./ending.ts";
export { contains, expectSome } from "./filter.ts";
export { type Flag, type FlagTable, type FlagValues, readFlags } from "./flags.ts";
export { ForeseenError } from "./foreseenError.ts";
export { InputError } from "./inputError.ts";
export { type Sources, sources } from "./sources.ts";
