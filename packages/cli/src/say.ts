// What a command tells the person who runs it: lines on standard output.

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
