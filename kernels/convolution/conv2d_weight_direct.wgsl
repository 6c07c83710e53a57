// out[tap, m, n] = Σ_p image[place(p, tap), m] · g[p, n], the image being zero outside: 8 × 4 outputs per thread.

alias Image = vec4<f32>;
alias Gradient = vec4<f32>;
alias Out = vec4<f32>;
const WORKGROUP = 64u;
struct Placing { taps: vec2<u32>, size: vec2<u32>, image_size: vec2<u32>, scale: vec2<i32>, shift: vec2<i32>, step: vec2<i32>, image_offset: u32, image_strides: vec3<u32> }
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn g4(i: u32) -> vec4<f32> { return g[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }

struct Params {
  groups: u32,
  m: u32, // channels of the image and of g, in one group
  n: u32,
  batch: u32,
  placing: Placing, // place = pixel of g · scale + shift + tap · step
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Image>;
@group(0) @binding(2) var<storage, read> g: array<Gradient>;
@group(0) @binding(3) var<storage, read_write> out: array<Out>;

/** Which of `count` pixels of g along an axis meet the image under a tap: from the first to before the second. */
fn meeting(corner: i32, scale: i32, image: u32, count: u32) -> vec2<u32> {
  let first = (max(-corner, 0) + scale - 1) / scale;
  let end = (max(i32(image) - corner, 0) + scale - 1) / scale;
  return vec2<u32>(u32(first), min(u32(end), count));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let blocks = (vec2<u32>(params.m, params.n) + vec2<u32>(7u, 3u)) / vec2<u32>(8u, 4u);
  let thread = id.x + id.y * groups.x * WORKGROUP;
  let group = thread / blocks.y % params.groups;
  let m = thread / blocks.y / params.groups % blocks.x * 8u;
  let n = thread % blocks.y * 4u;
  let tap = thread / blocks.y / params.groups / blocks.x;
  if (tap >= params.placing.taps.x * params.placing.taps.y) { return; }
  let channels = params.groups * params.n;
  let corner = params.placing.shift + vec2<i32>(vec2<u32>(tap / params.placing.taps.y, tap % params.placing.taps.y)) * params.placing.step;
  let rows = meeting(corner.x, params.placing.scale.x, params.placing.image_size.x, params.placing.size.x);
  let columns = meeting(corner.y, params.placing.scale.y, params.placing.image_size.y, params.placing.size.y);
  let base = params.placing.image_offset + group * params.m + m;

  var upper = mat4x4<f32>(); // [m][n]
  var lower = mat4x4<f32>();
  for (var image_at = 0u; image_at < params.batch; image_at++) {
    for (var y = rows.x; y < rows.y; y++) {
      let row = u32(i32(y) * params.placing.scale.x + corner.x);
      let column = u32(i32(columns.x) * params.placing.scale.y + corner.y);
      let strides = params.placing.image_strides;
      var image_spot = base + image_at * strides.x + row * strides.y + column * strides.z;
      var pixel = ((image_at * params.placing.size.x + y) * params.placing.size.y + columns.x) * channels + group * params.n + n;
      for (var x = columns.x; x < columns.y; x++) {
        let u = image4(image_spot);
        let t = image4(image_spot + 4u);
        let v = g4(pixel);
        upper += mat4x4<f32>(u.x * v, u.y * v, u.z * v, u.w * v);
        lower += mat4x4<f32>(t.x * v, t.y * v, t.z * v, t.w * v);
        image_spot += u32(params.placing.scale.y) * strides.z;
        pixel += channels;
      }
    }
  }

  let at = (tap * params.m + m) * channels + group * params.n + n;
  let count = params.n - n;
  write(at, upper[0], count);
  if (m + 1u < params.m) { write(at + channels, upper[1], count); }
  if (m + 2u < params.m) { write(at + 2u * channels, upper[2], count); }
  if (m + 3u < params.m) { write(at + 3u * channels, upper[3], count); }
  if (m + 4u < params.m) { write(at + 4u * channels, lower[0], count); }
  if (m + 5u < params.m) { write(at + 5u * channels, lower[1], count); }
  if (m + 6u < params.m) { write(at + 6u * channels, lower[2], count); }
  if (m + 7u < params.m) { write(at + 7u * channels, lower[3], count); }
}
