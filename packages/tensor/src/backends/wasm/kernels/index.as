// Every kernel: functions of (begin, end, …) that compute rows begin … end − 1 and are safe to run on several threads at once.
export * from "./elementwise";
export { useScratch } from "./memory";
