// out[i] = a chain of 16 · LOOPS multiply-adds on each of eight vectors: the ceiling of float32 arithmetic, for the bench.

const LOOPS = 64u;
const WORKGROUP = 64u;

@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let m = input[0];
  var a = array<vec4<f32>, 8>();
  for (var k = 0u; k < 8u; k++) {
    a[k] = vec4<f32>(f32(id.x + k)) * 1e-6;
  }
  for (var loop_index = 0u; loop_index < LOOPS; loop_index++) {
    for (var step = 0u; step < 16u; step++) {
      a[0] = fma(a[0], m, m);
      a[1] = fma(a[1], m, m);
      a[2] = fma(a[2], m, m);
      a[3] = fma(a[3], m, m);
      a[4] = fma(a[4], m, m);
      a[5] = fma(a[5], m, m);
      a[6] = fma(a[6], m, m);
      a[7] = fma(a[7], m, m);
    }
  }
  out[id.x] = a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
}
