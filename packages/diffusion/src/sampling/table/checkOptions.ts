// Checks of the solvers' options.

/** @throws Error unless the order is an integer from 1 to `highest` */
export function checkOrder(name: string, order: number, highest: number): void {
  if (!(Number.isInteger(order) && order >= 1 && order <= highest)) {
    throw new Error(`${name}: order is ${order}, want an integer in [1, ${highest}]`);
  }
}

/** @throws Error unless each option is a number from 0 on, naming the first that is not */
export function checkNonNegative(name: string, options: Readonly<Record<string, number>>): void {
  for (const [option, value] of Object.entries(options)) {
    if (!(value >= 0)) throw new Error(`${name}: ${option} is ${value}, want a number from 0 on`);
  }
}
