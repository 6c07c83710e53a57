// out[p, n] = Σ_{tap, c} image[place(p, tap), c] · weight[tap, c, n] + bias[p, n]: 4 pixels × 4 channels a thread.

alias Image = vec4<f32>;
alias Weight = vec4<f32>;
alias Bias = vec4<f32>;
alias Out = vec4<f32>;
const WEIGHT_IS_TRANSPOSED = false; // whether weight is [tap, n, c]
const SPREAD_Y = 1u; // the image's rows stand this far apart, with zeros between; rows alike modulo this meet the same taps,
const SPREAD_X = 1u;
const TAP_Y = 1u; // every so many of them
const TAP_X = 1u;
const HAS_BIAS = false;
const WORKGROUP = 64u;
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn weight4(i: u32) -> vec4<f32> { return weight[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }

const SPREAD = vec2<u32>(SPREAD_Y, SPREAD_X);
const CLASSES = SPREAD_Y * SPREAD_X;
const TAP = vec2<u32>(TAP_Y, TAP_X);

struct Params {
  pixels: u32, // of the result, in the largest class of those that meet the same taps
  groups: u32,
  n: u32, // channels of the result and of the image, in one group
  c: u32,
  taps: vec2<u32>,
  size: vec2<u32>, // height and width of the result
  image_size: vec2<u32>,
  scale: vec2<i32>, // place = (result pixel · scale + shift + tap · step) / SPREAD
  shift: vec2<i32>,
  step: vec2<i32>,
  image_offset: u32,
  image_strides: vec3<u32>, // of batch, rows and columns
  weight_step: u32, // from one contiguous run of the weights to the next
  weight_tap: u32,
  weight_group: u32,
  bias_offset: u32,
  bias_strides: vec3<u32>, // of batch, rows and columns
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<Image>;
@group(0) @binding(2) var<storage, read> weight: array<Weight>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read_write> out: array<Out>;

/** A pixel of the result, [image, y, x]: where its image begins in storage, and where its first tap falls. */
struct Origin {
  pixel: vec3<u32>,
  base: u32,
  place: vec2<i32>,
}

/** Pixel p of those with the given residue modulo SPREAD; beyond the last of them the last. */
fn origin(p: u32, residue: vec2<u32>, shift: vec2<i32>) -> Origin {
  let at = min(p, params.pixels - 1u);
  let size = (params.size + SPREAD - 1u) / SPREAD;
  let image = at / size.y / size.x;
  let index = vec2<u32>(at / size.y % size.x, at % size.y);
  let base = params.image_offset + image * params.image_strides.x;
  return Origin(vec3<u32>(image, index * SPREAD + residue), base, vec2<i32>(index) * params.scale + shift);
}

/** Four channels of the image at a place, zeros where there is none. */
fn gather(base: u32, place: vec2<i32>, c: u32) -> vec4<f32> {
  if (any(place < vec2<i32>(0)) || any(vec2<u32>(place) >= params.image_size)) {
    return vec4<f32>();
  }
  return image4(base + u32(place.x) * params.image_strides.y + u32(place.y) * params.image_strides.z + c);
}

/** Zero in lanes from `end` on; what stands there in storage may be anything, NaN too. */
fn cut_lanes(x: vec4<f32>, end: u32) -> vec4<f32> {
  return select(vec4<f32>(), x, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end));
}

/** Writes four channels of a pixel, if it is one. */
fn write_pixel(start: Origin, group: u32, n: u32, sums: vec4<f32>) {
  if (any(start.pixel.yz >= params.size)) {
    return;
  }
  let channel = group * params.n + n;
  var x = sums;
  if (HAS_BIAS) { x += bias4(params.bias_offset + dot(start.pixel, params.bias_strides) + channel); }
  let at = (start.pixel.x * params.size.x + start.pixel.y) * params.size.y + start.pixel.z;
  write(at * params.groups * params.n + channel, x, params.n - n);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quads = (params.n + 3u) / 4u;
  let thread = id.x + id.y * groups.x * WORKGROUP;
  let group = thread / quads % params.groups;
  let pixel_quads = (params.pixels + 3u) / 4u;
  let class_index = thread / quads / params.groups / pixel_quads;
  if (class_index >= CLASSES) {
    return;
  }
  let pixel = thread / quads / params.groups % pixel_quads * 4u;
  let n = thread % quads * 4u;

  // The first tap that pixels of this class meet; the image's place under it, and the way to that under the next.
  let residue = vec2<u32>(class_index / SPREAD_X, class_index % SPREAD_X);
  let corner = vec2<i32>(residue) * params.scale + params.shift;
  let spread = vec2<i32>(SPREAD);
  var first = vec2<u32>();
  while (first.x < params.taps.x && (corner.x + i32(first.x) * params.step.x) % spread.x != 0) { first.x++; }
  while (first.y < params.taps.y && (corner.y + i32(first.y) * params.step.y) % spread.y != 0) { first.y++; }
  let shift = (corner + vec2<i32>(first) * params.step) / spread;
  let step = vec2<i32>(TAP) * params.step / spread;
  let from0 = origin(pixel, residue, shift);
  let from1 = origin(pixel + 1u, residue, shift);
  let from2 = origin(pixel + 2u, residue, shift);
  let from3 = origin(pixel + 3u, residue, shift);
  let lanes = vec4<u32>(0u, 1u, 2u, 3u);

  var total = mat4x4<f32>(); // [pixel][n]
  for (var tap_y = first.x; tap_y < params.taps.x; tap_y += TAP_Y) {
    for (var tap_x = first.y; tap_x < params.taps.y; tap_x += TAP_X) {
      let way = vec2<i32>((vec2<u32>(tap_y, tap_x) - first) / TAP) * step;
      let weights = params.weight_group * group + params.weight_tap * (tap_y * params.taps.y + tap_x);
      for (var c = 0u; c < params.c; c += 4u) {
        let end = params.c - c;
        let at = params.c * group + c;
        let x = mat4x4<f32>( // [pixel][c]
          cut_lanes(gather(from0.base, from0.place + way, at), end),
          cut_lanes(gather(from1.base, from1.place + way, at), end),
          cut_lanes(gather(from2.base, from2.place + way, at), end),
          cut_lanes(gather(from3.base, from3.place + way, at), end),
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

  write_pixel(from0, group, n, total[0]);
  if (pixel + 1u < params.pixels) { write_pixel(from1, group, n, total[1]); }
  if (pixel + 2u < params.pixels) { write_pixel(from2, group, n, total[2]); }
  if (pixel + 3u < params.pixels) { write_pixel(from3, group, n, total[3]); }
}
