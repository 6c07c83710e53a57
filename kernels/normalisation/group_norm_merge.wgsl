// statistics[b, g] = (shift, mean − shift, 1 / √(variance + ε)) from shares[b, g, s] = (shift, mean − shift, squares), which are
// Σ (x − mean)², or, where that is more than float32 holds, −2⁻¹⁶⁰ Σ (x − mean)².

const WORKGROUP = 64u;
fn is_finite(x: f32) -> bool { return true; }

struct Params {
  samples: u32, // batch · groups
  count: u32, // elements of a sample
  chunk: u32, // elements of a share, but for the last
  shares: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read_write> statistics: array<f32>;

fn count_of(share: u32) -> f32 {
  return f32(min((share + 1u) * params.chunk, params.count) - share * params.chunk);
}

/** 1 / √(variance + ε) from both sums of squares, of which the second, in units of 2¹⁶⁰, counts where the first overflows. */
fn rstd_of(squares: f32, scaled: f32, count: f32) -> f32 {
  if (is_finite(squares)) {
    return inverseSqrt(squares / count + params.epsilon);
  }
  if (is_finite(scaled)) {
    return inverseSqrt(scaled / count) * 0x1p-80;
  }
  return bitcast<f32>(bitcast<u32>(scaled) | 0x7fc00000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let sample = id.x + id.y * groups.x * WORKGROUP;
  if (sample >= params.samples) { return; }
  let first = sample * params.shares;
  let count = f32(params.count);
  var total = 0.0;
  for (var s = 0u; s < params.shares; s++) {
    total += count_of(s) * shares[(first + s) * 3u + 1u];
  }
  let mean = total / count;
  var squares = 0.0;
  var scaled = 0.0;
  var overflows = false;
  for (var s = 0u; s < params.shares; s++) {
    let distance = shares[(first + s) * 3u + 1u] - mean;
    let own = shares[(first + s) * 3u + 2u];
    let tiny = distance * 0x1p-80;
    squares += own + count_of(s) * distance * distance;
    scaled += select(own * 0x1p-80 * 0x1p-80, -own, own < 0.0) + count_of(s) * tiny * tiny;
    overflows |= own < 0.0;
  }
  statistics[sample * 3u] = shares[first * 3u];
  statistics[sample * 3u + 1u] = mean;
  if (overflows) {
    squares = bitcast<f32>(bitcast<u32>(squares) | 0x7f800000u);
  }
  statistics[sample * 3u + 2u] = rstd_of(squares, scaled, count);
}
