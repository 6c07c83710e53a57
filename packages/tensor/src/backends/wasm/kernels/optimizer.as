// Updates in place: AdamW, and an exponential moving average.
import { splat } from "./functions";
import { element } from "./memory";

/**
 * The next state and the control of an update with scaled gradients, whose norm is `norm`; one row. The formula stands
 * in ops/optimizer/lossScale.ts.
 */
export function loss_scale(
  _begin: i32, _end: i32, next: usize, control: usize, norm: usize, state: usize,
  clip: f32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, interval: f32, least: f32, most: f32,
): void {
  const scale = load<f32>(state);
  const length = load<f32>(norm);
  const isFinite = (reinterpret<u32>(length) & 0x7f800000) != 0x7f800000;
  const since = load<f32>(state, 4) + 1;
  const grows = since >= interval;
  const first = isFinite ? beta1 * load<f32>(state, 8) + rest1 : load<f32>(state, 8);
  const second = isFinite ? beta2 * load<f32>(state, 12) + rest2 : load<f32>(state, 12);
  const larger = grows ? min<f32>(scale * 2, most) : scale;
  const factor = clip > 0 ? min<f32>(1, clip * scale / (length + f32(1e-12))) : f32(1);
  store<f32>(next, isFinite ? larger : max<f32>(scale / 2, least));
  store<f32>(next, isFinite && !grows ? since : f32(0), 4);
  store<f32>(next, first, 8);
  store<f32>(next, second, 12);
  store<f32>(control, isFinite ? factor / scale : f32(0));
  store<f32>(control, isFinite ? f32(1) / first : f32(1), 4);
  store<f32>(control, isFinite ? f32(1) / sqrt<f32>(second) : f32(1), 8);
}

/**
 * Elements [begin, end), begin a multiple of four: m = β₁m + (1 − β₁)g·s; v = β₂v + (1 − β₂)(g·s)²;
 * p = p − decay · p − step · m / (√v · unbias + ε). Scaled ones find s and factors of step and unbias in `scale`, and do nothing
 * where s is 0.
 */
export function adam_w(
  begin: i32, end: i32, p: usize, m: usize, v: usize, g: usize, scale: usize,
  step: f32, unbias: f32, decay: f32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, epsilon: f32, isScaled: i32,
): void {
  if (isScaled && load<f32>(scale) == 0) return;
  const s = v128.load_splat<f32>(scale);
  const stepBy = isScaled ? step * load<f32>(scale, 4) : step;
  const unbiasBy = isScaled ? unbias * load<f32>(scale, 8) : unbias;
  for (let i = begin; i < end; i += 4) {
    const gradient = f32x4.mul(v128.load(element(g, i)), s);
    const own = f32x4.mul(splat(rest2), f32x4.mul(gradient, gradient));
    const first = f32x4.add(f32x4.mul(splat(beta1), v128.load(element(m, i))), f32x4.mul(splat(rest1), gradient));
    const second = f32x4.add(f32x4.mul(splat(beta2), v128.load(element(v, i))), own);
    const value = v128.load(element(p, i));
    const root = f32x4.add(f32x4.mul(f32x4.sqrt(second), splat(unbiasBy)), splat(epsilon));
    const kept = f32x4.sub(value, f32x4.mul(splat(decay), value));
    v128.store(element(m, i), first);
    v128.store(element(v, i), second);
    v128.store(element(p, i), f32x4.sub(kept, f32x4.div(f32x4.mul(splat(stepBy), first), root)));
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
