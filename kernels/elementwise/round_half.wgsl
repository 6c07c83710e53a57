// out[i] = binary16(a[first + i]), to nearest, ties to even, infinite from 65520 on: four numbers a thread, two in a word.

const WORKGROUP = 64u;

struct Params {
  quads: u32,
  first: u32, // quad of a
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec2<u32>>;

/** The bits of the half nearest to x. By integers, since what devices do beyond its range, and below it, differs. */
fn half_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return sign | 0x7e00u;
  }
  if (magnitude >= 0x477ff000u) {
    return sign | 0x7c00u;
  }
  if (magnitude < 0x38800000u) {
    return sign | u32(round(bitcast<f32>(magnitude) * 0x1p24f)); // in units of the smallest half
  }
  return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.quads) { return; }
  let x = a[params.first + i];
  out[i] = vec2<u32>(
    half_bits(x.x) | (half_bits(x.y) << 16u),
    half_bits(x.z) | (half_bits(x.w) << 16u),
  );
}
