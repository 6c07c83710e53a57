// statistics[b, g] = (shift, mean − shift, 1 / √(variance + ε)) from shares[b, g, s] = (shift, mean − shift, Σ (x − mean)²).

const WORKGROUP = 64u;

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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let sample = id.x + id.y * groups.x * WORKGROUP;
  if (sample >= params.samples) {
    return;
  }
  let first = sample * params.shares;
  let count = f32(params.count);
  var total = 0.0;
  for (var s = 0u; s < params.shares; s++) {
    total += count_of(s) * shares[(first + s) * 3u + 1u];
  }
  let mean = total / count;
  var squares = 0.0;
  for (var s = 0u; s < params.shares; s++) {
    let distance = shares[(first + s) * 3u + 1u] - mean;
    squares += shares[(first + s) * 3u + 2u] + count_of(s) * distance * distance;
  }
  statistics[sample * 3u] = shares[first * 3u];
  statistics[sample * 3u + 1u] = mean;
  statistics[sample * 3u + 2u] = inverseSqrt(squares / count + params.epsilon);
}
