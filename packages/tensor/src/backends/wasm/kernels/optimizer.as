// Updates in place: AdamW, and an exponential moving average.
import { splat } from "./functions";
import { element } from "./memory";

/**
 * Elements [begin, end), begin a multiple of four: m = β₁m + (1 − β₁)g·s; v = β₂v + (1 − β₂)(g·s)²;
 * p = p − decay · p − step · m / (√v · unbias + ε).
 */
export function adam_w(
  begin: i32, end: i32, p: usize, m: usize, v: usize, g: usize, scale: usize,
  step: f32, unbias: f32, decay: f32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, epsilon: f32,
): void {
  const s = v128.load_splat<f32>(scale);
  for (let i = begin; i < end; i += 4) {
    const gradient = f32x4.mul(v128.load(element(g, i)), s);
    const own = f32x4.mul(splat(rest2), f32x4.mul(gradient, gradient));
    const first = f32x4.add(f32x4.mul(splat(beta1), v128.load(element(m, i))), f32x4.mul(splat(rest1), gradient));
    const second = f32x4.add(f32x4.mul(splat(beta2), v128.load(element(v, i))), own);
    const value = v128.load(element(p, i));
    const root = f32x4.add(f32x4.mul(f32x4.sqrt(second), splat(unbias)), splat(epsilon));
    const kept = f32x4.sub(value, f32x4.mul(splat(decay), value));
    v128.store(element(m, i), first);
    v128.store(element(v, i), second);
    v128.store(element(p, i), f32x4.sub(kept, f32x4.div(f32x4.mul(splat(step), first), root)));
  }
}

/** Elements [begin, end), begin a multiple of four: average = average + weight · (value − average). */
export function ema(begin: i32, end: i32, average: usize, value: usize, weight: f32): void {
  for (let i = begin; i < end; i += 4) {
    const own = v128.load(element(average, i));
    const step = f32x4.mul(splat(weight), f32x4.sub(v128.load(element(value, i)), own));
    v128.store(element(average, i), f32x4.add(own, step));
  }
}
