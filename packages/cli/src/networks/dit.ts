// The diffusion transformer as the commands know it.

import { type DitConfig, dit } from "@pkg/nn";
import * as v from "valibot";
import { count, oneOf, rate, sinusoid, truth } from "../checkpoint/fields.ts";
import { classesIn, lastOf, type Network, numbered, numbersIn } from "./network.ts";

export const ditNetwork: Network<DitConfig> = {
  title: "a diffusion transformer",
  flags: ["patch", "width", "depth", "heads"],
  configFrom: (flags, { inChannels, ...others }) => ({
    inChannels,
    patch: flags.number("patch"),
    channels: flags.number("width"),
    depth: flags.number("depth"),
    heads: flags.number("heads"),
    ...others,
  }),
  told: ({ patch, channels, depth, heads }) => ({ patch, width: channels, depth, heads }),
  make: dit,
  misfit: ({ patch }, { height, width }) =>
    height % patch === 0 && width % patch === 0
      ? undefined
      : { field: "patch", flag: "patch", wanted: `a divisor of the images' ${height} × ${width}` },
  schema: v.strictObject({
    inChannels: count,
    outChannels: v.exactOptional(count),
    patch: count,
    channels: count,
    depth: count,
    heads: count,
    hidden: v.exactOptional(count),
    feedForward: v.exactOptional(oneOf(["gelu", "swiGlu"])),
    positions: v.exactOptional(oneOf(["sinCos", "rotary"])),
    qkNorm: v.exactOptional(truth),
    timeChannels: v.exactOptional(count),
    dropout: v.exactOptional(rate),
    classes: v.exactOptional(count),
    timeEmbedding: v.exactOptional(sinusoid),
    numbers: v.exactOptional(v.record(v.string(), sinusoid)),
  }),
  compare(config, shapes, { same, atMost }) {
    const first = (name: string) => shapes.get(name)?.[0] ?? 0;
    const gated = shapes.has("blocks.0.feedForward.gate.weight");
    const { inChannels, outChannels = inChannels, channels, feedForward = "gelu" } = config;
    const pixels = config.patch ** 2;
    same("channels", channels, lastOf(shapes, "input.weight"));
    same("depth", config.depth, numbered(shapes, /^blocks\.(\d+)\./));
    same("inChannels", inChannels, first("input.weight") / pixels);
    same("outChannels", outChannels, lastOf(shapes, "output.weight") / pixels);
    same("classes", config.classes, classesIn(shapes));
    same("numbers", Object.keys(config.numbers ?? {}).sort(), numbersIn(shapes));
    same("timeChannels", config.timeChannels ?? 256, first("time1.weight"));
    same("feedForward", feedForward, gated ? "swiGlu" : "gelu");
    const hidden = config.hidden ?? (gated ? 8 * Math.ceil(channels / 3) : 4 * channels);
    same("hidden", hidden, lastOf(shapes, `blocks.0.feedForward.${gated ? "gate" : "first"}.weight`));
    same("qkNorm", config.qkNorm ?? false, shapes.has("blocks.0.attention.qNorm.scale"));
    atMost("heads", config.heads, channels);
  },
};
