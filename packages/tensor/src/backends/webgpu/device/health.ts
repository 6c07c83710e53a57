// What a device reports: errors of commands and its loss, thrown at the next call; and waiting for it, which ends when it is gone.

import { DeviceLostError, DeviceStalledError, OutOfMemoryError, ValidationError } from "../../../backend.ts";
import { patiently } from "./wait.ts";
import type { Watchdog } from "./watchdog.ts";

/** Whether a device still does what it is told. */
export class Health {
  private readonly name: string;
  private readonly watchdog: Watchdog;
  private failure: Error | null = null;
  private lost: DeviceLostError | null = null;

  /** @param name of the backend, with which its errors begin */
  constructor(device: GPUDevice, name: string, watchdog: Watchdog) {
    this.name = name;
    this.watchdog = watchdog;
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault(); // or it is printed as well
      const { error } = event;
      // In Node there is no GPUOutOfMemoryError global to test against.
      const Kind = error.constructor.name === "GPUOutOfMemoryError" ? OutOfMemoryError : ValidationError;
      this.failure ??= new Kind(`${name}: ${error.message}`);
    });
    void device.lost.then(({ reason, message }) => {
      this.lose(`the device is lost (${reason}${message ? `: ${message}` : ""})`);
    });
  }

  /** From now on every call throws a DeviceLostError, unless one does already. */
  lose(reason: string): void {
    this.lost ??= new DeviceLostError(`${this.name}: ${reason}, want a new backend`);
  }

  /** Throws what the device reported since the last call. After a loss everything would seem to succeed. */
  check(): void {
    if (this.lost) throw this.lost;
    const { failure } = this;
    this.failure = null;
    if (failure) throw failure;
  }

  /** Waits for the device. If that rejects, the device is stuck or gone, even if it does not say so yet. */
  async survive(waiting: Promise<unknown>, what: string): Promise<void> {
    try {
      await this.watchdog.watch(patiently(waiting));
    } catch (error) {
      this.check();
      if (error instanceof DeviceStalledError) throw error;
      const reason = error instanceof Error ? error.message || error.name : error;
      throw new DeviceLostError(`${this.name}: ${what} failed (${reason}), want a new backend`);
    }
    this.check();
  }
}
