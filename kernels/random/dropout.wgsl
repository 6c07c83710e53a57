// out[i] = scale · x[i], or 0 where the upper 24 bits of word i of philox(key, draw) are below `bound`.

const WORKGROUP = 64u;
struct Draw { key: vec2<u32>, draw: vec2<u32> }
fn words_of(drawn: Draw, quad: u32) -> vec4<u32> { return vec4<u32>(quad, drawn.draw, 0u); }

struct Params {
  drawn: Draw,
  quads: u32,
  scale: f32,
  bound: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quad = id.x + id.y * groups.x * WORKGROUP;
  if (quad >= params.quads) { return; }
  let is_dropped = (words_of(params.drawn, quad) >> vec4<u32>(8u)) < vec4<u32>(params.bound);
  out[quad] = select(x[quad] * params.scale, vec4<f32>(), is_dropped);
}
