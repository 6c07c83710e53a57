// The networks that settings can name: one list, from which flags, checks, help and checkpoints follow.

import type { InitOptions } from "@pkg/nn";
import { InputError } from "../inputError.ts";
import { ditNetwork } from "../networks/dit.ts";
import type { Given, ImageNetwork, Network } from "../networks/network.ts";
import { unetNetwork } from "../networks/unet.ts";
import type { FlagValues } from "./flags.ts";
import type { Settings } from "./settings.ts";

/** The name of a kind of network. */
export type NetworkName = "unet" | "dit";

export const NETWORKS: Readonly<Record<NetworkName, Network>> = { unet: unetNetwork, dit: ditNetwork };

/** The names; the first is that of settings that name none. */
export const NETWORK_NAMES = Object.keys(NETWORKS) as NetworkName[];

/** The name of the network of settings. */
export function networkName({ network = NETWORK_NAMES[0] }: Pick<Settings, "network">): NetworkName {
  return network;
}

/** The kind of network of settings. */
export function networkOf(settings: Pick<Settings, "network">): Network {
  return NETWORKS[networkName(settings)];
}

/** The network of settings. @throws Error naming the field when the configuration is impossible */
export function makeNetwork(settings: Pick<Settings, "network" | "model">, init: InitOptions): ImageNetwork {
  return networkOf(settings).make(settings.model, init);
}

/** The network that flags ask for. @throws InputError for a flag of another network */
export function networkFrom(flags: FlagValues, given: Given): Pick<Settings, "network" | "model"> {
  const name = NETWORK_NAMES.find((known) => known === flags.word("network")) ?? NETWORK_NAMES[0];
  refuseForeign(flags, name);
  return { ...(name !== NETWORK_NAMES[0] && { network: name }), model: NETWORKS[name].configFrom(flags, given) };
}

/** @throws InputError for a flag that configures another network than the named one */
export function refuseForeign(flags: FlagValues, name: NetworkName): void {
  for (const [other, network] of Object.entries(NETWORKS)) {
    if (other === name) continue;
    const foreign = network.flags.find((flag) => flags.given(flag) !== undefined);
    if (foreign) throw new InputError(`--${foreign} ${flags.given(foreign)}: want --network ${other} with it`);
  }
}
