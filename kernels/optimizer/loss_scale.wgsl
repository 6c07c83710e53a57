// factor = min(1, clip · S / ‖g‖) / S of gradients g of S times a loss; S and the corrections of Adam's moments for the next update.

const WORKGROUP = 1u;

struct Params {
  clip: f32, // the longest gradient; 0 for none
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 − β₁, rounded once
  rest2: f32,
  interval: f32, // updates after which S doubles
  least: f32, // S
  most: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> norm: array<f32>; // ‖g‖
@group(0) @binding(2) var<storage, read> state: array<f32>; // S, updates since it changed, 1 − β₁ᵗ, 1 − β₂ᵗ
@group(0) @binding(3) var<storage, read_write> next: array<f32>;
@group(0) @binding(4) var<storage, read_write> control: array<f32>; // factor, 1 / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)

@compute @workgroup_size(WORKGROUP)
fn main() {
  let scale = state[0];
  let length_of_g = norm[0];
  if ((bitcast<u32>(length_of_g) & 0x7f800000u) == 0x7f800000u) { // neither comparisons nor arithmetic have to see NaN
    next[0] = max(scale * 0.5, params.least);
    next[1] = 0.0;
    next[2] = state[2];
    next[3] = state[3];
    control[0] = 0.0;
    control[1] = 1.0;
    control[2] = 1.0;
    return;
  }
  let since = state[1] + 1.0;
  let grows = since >= params.interval;
  let first = params.beta1 * state[2] + params.rest1;
  let second = params.beta2 * state[3] + params.rest2;
  next[0] = select(scale, min(scale * 2.0, params.most), grows);
  next[1] = select(since, 0.0, grows);
  next[2] = first;
  next[3] = second;
  var factor = 1.0;
  if (params.clip > 0.0) { factor = min(1.0, params.clip * scale / (length_of_g + 1e-12)); }
  control[0] = factor / scale;
  control[1] = 1.0 / first;
  control[2] = 1.0 / sqrt(second);
}
