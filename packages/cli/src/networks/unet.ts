// The U-Net as the commands know it.

import { type UnetConfig, unet } from "@pkg/nn";
import * as v from "valibot";
import { count, integer, rate, sinusoid, truth } from "../checkpoint/fields.ts";
import { classesIn, lastOf, type Network, numbered, numbersIn } from "./network.ts";

export const unetNetwork: Network<UnetConfig> = {
  title: "a U-Net",
  flags: ["channels", "multipliers", "blocks", "attention"],
  configFrom: (flags, { inChannels, ...others }) => ({
    inChannels,
    channels: flags.number("channels"),
    multipliers: flags.numbers("multipliers"),
    blocks: flags.number("blocks"),
    attentionLevels: flags.numbers("attention"),
    ...others,
  }),
  told: ({ channels, multipliers, blocks, attentionLevels = [] }) => ({
    channels,
    multipliers: multipliers.join(","),
    blocks,
    attention: attentionLevels.join(","),
  }),
  make: unet,
  misfit: () => undefined,
  schema: v.strictObject({
    inChannels: count,
    outChannels: v.exactOptional(count),
    channels: count,
    multipliers: v.array(
      v.custom<number>((x) => typeof x === "number" && x > 0 && x < Number.POSITIVE_INFINITY, "a positive number"),
    ),
    blocks: v.exactOptional(count),
    attentionLevels: v.exactOptional(v.array(integer(0, Number.MAX_SAFE_INTEGER))),
    heads: v.exactOptional(count),
    groups: v.exactOptional(count),
    dropout: v.exactOptional(rate),
    classes: v.exactOptional(count),
    scaleShift: v.exactOptional(truth),
    checkpoint: v.exactOptional(truth),
    timeEmbedding: v.exactOptional(sinusoid),
    numbers: v.exactOptional(v.record(v.string(), sinusoid)),
  }),
  compare(config, shapes, { same, atMost, enough }) {
    const last = (name: string) => lastOf(shapes, name);
    const levels = Array.from(
      { length: numbered(shapes, /^down\.(\d+)\.stages\./) },
      (_, level) => `down.${level}.stages.0`,
    );
    const blocks = numbered(shapes, /^down\.0\.stages\.(\d+)\./);
    const channels = last("input.weight");
    same("inChannels", config.inChannels, shapes.get("input.weight")?.[2]);
    same("outChannels", config.outChannels ?? config.inChannels, last("output.weight"));
    same("channels", config.channels, channels);
    same(
      "multipliers",
      config.multipliers,
      levels.map((level) => last(`${level}.block.conv1.weight`) / channels),
    );
    same("blocks", config.blocks ?? 2, blocks);
    // Else names of many levels and of many blocks would ask for their product.
    enough("stages", levels.length * blocks);
    same(
      "attentionLevels",
      [...new Set(config.attentionLevels)].sort((a, b) => a - b),
      [...levels.keys()].filter((level) => shapes.has(`${levels[level]}.attention.qkv.weight`)),
    );
    same("classes", config.classes, classesIn(shapes));
    same("numbers", Object.keys(config.numbers ?? {}).sort(), numbersIn(shapes));
    same(
      "scaleShift",
      config.scaleShift ?? false,
      last("down.0.stages.0.block.time.weight") > last("down.0.stages.0.block.conv1.weight"),
    );
    const widest = [...shapes.values()].reduce((most, shape) => shape.reduce((a, b) => Math.max(a, b), most), 1);
    for (const field of ["heads", "groups"] as const) atMost(field, config[field] ?? 1, widest);
  },
};
