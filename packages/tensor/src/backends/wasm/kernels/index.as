// Every kernel: a function of (begin, end, …) that computes rows begin … end − 1, and that several threads may run at once.
export { conv, conv_weight } from "./conv";
export { concat, fill_f32, fill_i32, unslice, zero } from "./copies";
export * from "./elementwise";
export { matmul, pack_b, sum_shares } from "./matmul";
export { useScratch } from "./memory";
export * from "./norm";
export { adam_w, ema, loss_scale } from "./optimizer";
export {
  dropout, noise_add, random_bits, random_integers, random_normal, random_signs, random_trials, random_uniform,
} from "./random";
export { count_non_finite, largest, norm_of_squares, squares, sum } from "./reduce";
export { attention_slopes, log_softmax, log_sum_exp, softmax } from "./rows";
export { winograd, winograd_weights } from "./winograd";
export { winograd_grad, winograd_grad_taps } from "./winogradGrad";
export { window_spread, window_sum } from "./windows";
