// The command line: start, train and sample. Parses and explains flags; what the commands do stands in commands.ts.

import { cac } from "cac";
import { exportOnly, SAMPLE_FLAGS, sampleOnly, start, TRAIN_FLAGS, trainOnly } from "./commands.ts";
import { checkFlags, describeFlag, type FlagName, type FlagValues } from "./flags.ts";
import { InputError } from "./inputError.ts";

interface Command {
  readonly help: string;
  readonly flags: readonly FlagName[];
  run(flags: FlagValues): Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  start: {
    help: "draw with a trained DDPM, train one on MNIST, and draw with that",
    flags: [...TRAIN_FLAGS, ...SAMPLE_FLAGS],
    run: start,
  },
  train: { help: "train a DDPM on MNIST", flags: TRAIN_FLAGS, run: trainOnly },
  sample: {
    help: "sample from a checkpoint",
    flags: ["checkpoint", "out", "backend", "seed", ...SAMPLE_FLAGS],
    run: sampleOnly,
  },
  export: {
    help: "write the averaged weights of a checkpoint alone, in half precision: enough to sample",
    flags: ["checkpoint", "out", "to"],
    run: exportOnly,
  },
};

process.exitCode = await main(process.argv);

async function main(argv: string[]): Promise<number> {
  const program = cac("tweedie");
  program.help();
  for (const [name, { help, flags }] of Object.entries(COMMANDS)) {
    const command = program.command(name, help);
    for (const flag of flags) {
      const { spelling, help } = describeFlag(flag);
      command.option(spelling, help);
    }
    command.action(() => {});
  }
  try {
    const { options, args } = program.parse(argv, { run: false });
    if (options.help) return 0;
    const name = program.matchedCommandName;
    const command = name === undefined ? undefined : COMMANDS[name];
    if (!command)
      throw new InputError(
        `${args[0] ?? "no command"}: want one of ${Object.keys(COMMANDS).join(", ")} (--help explains)`,
      );
    if (args.length > 0) throw new InputError(`${args[0]}: want flags only (--help explains)`);
    program.runMatchedCommand();
    return await command.run(checkFlags(command.flags, options));
  } catch (error) {
    // cac's own complaints are about flags as well.
    const isInput = error instanceof InputError || (error instanceof Error && error.name === "CACError");
    process.stderr.write(
      `${isInput || !(error instanceof Error) ? `error: ${error instanceof Error ? error.message : error}` : (error.stack ?? error.message)}\n`,
    );
    return isInput ? 2 : 1;
  }
}
