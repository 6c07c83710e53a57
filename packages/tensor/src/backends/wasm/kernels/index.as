// Every kernel: functions of (begin, end, …) that compute rows begin … end − 1 and are safe to run on several threads at once.
export * from "./elementwise";
export { useScratch } from "./memory";
export { matmul, pack_b, sum_shares } from "./matmul";
export { conv, conv_weight } from "./conv";
