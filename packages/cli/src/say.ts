// What a command tells the person who runs it: lines on standard output.

/** A count in words: "1 step", "20 steps". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
