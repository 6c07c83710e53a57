// out[p, n] = Σ_{tap, c} image[place(p, tap), c] · weight[tap, c, n], zero outside: 4 pixels × 4 channels a thread.

alias Image = vec4<f32>;
alias Weight = vec4<f32>;
alias Out = vec4<f32>;
const WEIGHT_IS_TRANSPOSED = false; // whether weight is [tap, n, c]
const SPREAD_Y = 1; // the image's rows stand this far apart, with zeros between
const SPREAD_X = 1;
const WORKGROUP = 64u;
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn weight4(i: u32) -> vec4<f32> { return weight[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }

struct Params {
  pixels: u32, // batch · height · width of the result
  groups: u32,
  n: u32, // channels of the result and of the image, in one group
  c: u32,
  taps: vec2<u32>,
  size: vec2<u32>, // height and width of the result
  image_size: vec2<u32>,
  scale: vec2<i32>, // place = result pixel · scale + shift + tap · step
  shift: vec2<i32>,
  step: vec2<i32>,
  image_offset: u32,
  image_strides: vec3<u32>, // of batch, rows and columns
  weight_step: u32, // from one contiguous run of the weights to the next
  weight_tap: u32,
  weight_group: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Image>;
@group(0) @binding(2) var<storage, read> weight: array<Weight>;
@group(0) @binding(3) var<storage, read_write> out: array<Out>;

/** A pixel of the result: where its image begins in storage, and where its first tap falls. */
struct Origin {
  base: u32,
  place: vec2<i32>,
}

fn origin(pixel: u32) -> Origin {
  let p = min(pixel, params.pixels - 1u);
  let y = p / params.size.y % params.size.x;
  let x = p % params.size.y;
  let base = params.image_offset + p / params.size.y / params.size.x * params.image_strides.x;
  return Origin(base, vec2<i32>(vec2<u32>(y, x)) * params.scale + params.shift);
}

/** Four channels of the image under a tap, zeros where there is none. */
fn gather(start: Origin, tap: vec2<i32>, c: u32) -> vec4<f32> {
  let spread = vec2<i32>(SPREAD_Y, SPREAD_X);
  let place = start.place + tap * params.step;
  let at = vec2<u32>(place / spread);
  if (any(place < vec2<i32>(0)) || any(place % spread != vec2<i32>(0)) || any(at >= params.image_size)) {
    return vec4<f32>();
  }
  return image4(start.base + at.x * params.image_strides.y + at.y * params.image_strides.z + c);
}

/** Zero in lanes from `end` on; what stands there in storage may be anything, NaN too. */
fn cut_lanes(x: vec4<f32>, end: u32) -> vec4<f32> {
  return select(vec4<f32>(), x, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quads = (params.n + 3u) / 4u;
  let thread = id.x + id.y * groups.x * WORKGROUP;
  let group = thread / quads % params.groups;
  let pixel = thread / quads / params.groups * 4u;
  if (pixel >= params.pixels) {
    return;
  }
  let n = thread % quads * 4u;
  let from0 = origin(pixel);
  let from1 = origin(pixel + 1u);
  let from2 = origin(pixel + 2u);
  let from3 = origin(pixel + 3u);
  let lanes = vec4<u32>(0u, 1u, 2u, 3u);

  var total = mat4x4<f32>(); // [pixel][n]
  for (var tap_y = 0u; tap_y < params.taps.x; tap_y++) {
    for (var tap_x = 0u; tap_x < params.taps.y; tap_x++) {
      let tap = vec2<i32>(vec2<u32>(tap_y, tap_x));
      let weights = params.weight_group * group + params.weight_tap * (tap_y * params.taps.y + tap_x);
      for (var c = 0u; c < params.c; c += 4u) {
        let end = params.c - c;
        let at = params.c * group + c;
        let x = mat4x4<f32>( // [pixel][c]
          cut_lanes(gather(from0, tap, at), end),
          cut_lanes(gather(from1, tap, at), end),
          cut_lanes(gather(from2, tap, at), end),
          cut_lanes(gather(from3, tap, at), end),
        );
        var w: mat4x4<f32>; // [c][n]
        if (WEIGHT_IS_TRANSPOSED) {
          let runs = weights + min(n + lanes, vec4<u32>(params.n - 1u)) * params.weight_step + c;
          w = transpose(mat4x4<f32>(
            cut_lanes(weight4(runs.x), end),
            cut_lanes(weight4(runs.y), end),
            cut_lanes(weight4(runs.z), end),
            cut_lanes(weight4(runs.w), end),
          ));
        } else {
          // Runs beyond the last channel are the last one's, which meet zeros of the image.
          let runs = weights + min(c + lanes, vec4<u32>(params.c - 1u)) * params.weight_step + n;
          w = mat4x4<f32>(weight4(runs.x), weight4(runs.y), weight4(runs.z), weight4(runs.w));
        }
        total += w * x;
      }
    }
  }

  let row = params.groups * params.n;
  let at = pixel * row + group * params.n + n;
  let count = params.n - n;
  write(at, total[0], count);
  if (pixel + 1u < params.pixels) { write(at + row, total[1], count); }
  if (pixel + 2u < params.pixels) { write(at + 2u * row, total[2], count); }
  if (pixel + 3u < params.pixels) { write(at + 3u * row, total[3], count); }
}
