// out[p, n] = Σ_{tap, c} image[place(p, tap), c] · weight[tap, c, n] + bias[p, n]: 8 pixels × 4 channels a thread.

alias Image = vec4<f32>;
alias Weight = vec4<f32>;
alias Bias = vec4<f32>;
alias Out = vec4<f32>;
const WEIGHT_IS_TRANSPOSED = false; // whether weight is [tap, n, c]
const SPREAD_Y = 1u; // the image's rows stand this far apart, with zeros between; rows alike modulo this meet the same taps,
const SPREAD_X = 1u;
const TAP_Y = 1u; // every so many of them
const TAP_X = 1u;
const C_IS_RAGGED = false; // whether c is no multiple of four
const HAS_BIAS = false;
const WORKGROUP = 64u;
struct Placing { taps: vec2<u32>, size: vec2<u32>, image_size: vec2<u32>, scale: vec2<i32>, shift: vec2<i32>, step: vec2<i32>, image_offset: u32, image_strides: vec3<u32> }
fn image4(i: u32) -> vec4<f32> { return image[i / 4u]; }
fn weight4(i: u32) -> vec4<f32> { return weight[i / 4u]; }
fn bias4(i: u32) -> vec4<f32> { return bias[i / 4u]; }
fn write(i: u32, x: vec4<f32>, count: u32) { out[i / 4u] = x; }

const SPREAD = vec2<u32>(SPREAD_Y, SPREAD_X);
const CLASSES = SPREAD_Y * SPREAD_X;
const TAP = vec2<u32>(TAP_Y, TAP_X);
const LANES = vec4<u32>(0u, 1u, 2u, 3u);

struct Params {
  pixels: u32, // of the result, in the largest class of those that meet the same taps
  groups: u32,
  n: u32, // channels of the result and of the image, in one group
  c: u32,
  placing: Placing, // place = (result pixel · scale + shift + tap · step) / SPREAD
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

/** Four pixels of the result that have the same residue modulo SPREAD: their images, and their places among such pixels. */
struct Quad {
  image: vec4<u32>,
  y: vec4<u32>,
  x: vec4<u32>,
}

/** Where the image has the four pixels that meet a quad under a tap, and whether it has them. */
struct Spots {
  at: vec4<u32>,
  inside: vec4<bool>,
}

/** The pixels from p on; beyond the last the last. */
fn quad(p: u32) -> Quad {
  let at = min(p + LANES, vec4<u32>(params.pixels - 1u));
  let size = (params.placing.size + SPREAD - 1u) / SPREAD;
  return Quad(at / size.y / size.x, at / size.y % size.x, at % size.y);
}

fn spots(pixels: Quad, shift: vec2<i32>) -> Spots {
  let y = vec4<u32>(vec4<i32>(pixels.y) * params.placing.scale.x + shift.x); // below 0 it is beyond any size
  let x = vec4<u32>(vec4<i32>(pixels.x) * params.placing.scale.y + shift.y);
  let inside = (y < vec4<u32>(params.placing.image_size.x)) & (x < vec4<u32>(params.placing.image_size.y));
  let strides = params.placing.image_strides;
  let at = params.placing.image_offset + pixels.image * strides.x + y * strides.y + x * strides.z;
  return Spots(select(vec4<u32>(), at, inside), inside);
}

/** Four channels of the image at four spots, zeros where there is none: [pixel][c]. */
fn gather(met: Spots, c: u32) -> mat4x4<f32> {
  let zero = vec4<f32>();
  return mat4x4<f32>(
    select(zero, image4(met.at.x + c), met.inside.x),
    select(zero, image4(met.at.y + c), met.inside.y),
    select(zero, image4(met.at.z + c), met.inside.z),
    select(zero, image4(met.at.w + c), met.inside.w),
  );
}

/** Zero in rows from `end` on; what stands there in storage may be anything, NaN too. */
fn cut_rows(block: mat4x4<f32>, end: u32) -> mat4x4<f32> {
  let zero = vec4<f32>();
  let stays = LANES < vec4<u32>(end);
  return mat4x4<f32>(
    select(zero, block[0], stays),
    select(zero, block[1], stays),
    select(zero, block[2], stays),
    select(zero, block[3], stays),
  );
}

/** Writes four channels of a pixel of a quad, if it is one. */
fn write_pixel(pixels: Quad, lane: u32, residue: vec2<u32>, group: u32, n: u32, sums: vec4<f32>) {
  let place = vec2<u32>(pixels.y[lane], pixels.x[lane]) * SPREAD + residue;
  if (any(place >= params.placing.size)) { return; }
  let channel = group * params.n + n;
  var x = sums;
  if (HAS_BIAS) {
    x += bias4(params.bias_offset + dot(vec3<u32>(pixels.image[lane], place), params.bias_strides) + channel);
  }
  let at = (pixels.image[lane] * params.placing.size.x + place.x) * params.placing.size.y + place.y;
  write(at * params.groups * params.n + channel, x, params.n - n);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quads = (params.n + 3u) / 4u;
  let thread = id.x + id.y * groups.x * WORKGROUP;
  let group = thread / quads % params.groups;
  let runs = (params.pixels + 7u) / 8u;
  let class_index = thread / quads / params.groups / runs;
  if (class_index >= CLASSES) { return; }
  let pixel = thread / quads / params.groups % runs * 8u;
  let n = thread % quads * 4u;

  // The first tap that pixels of this class meet; the image's place under it, and the way to that under the next.
  let residue = vec2<u32>(class_index / SPREAD_X, class_index % SPREAD_X);
  let corner = vec2<i32>(residue) * params.placing.scale + params.placing.shift;
  let spread = vec2<i32>(SPREAD);
  var first = vec2<u32>();
  while (first.x < params.placing.taps.x && (corner.x + i32(first.x) * params.placing.step.x) % spread.x != 0) { first.x++; }
  while (first.y < params.placing.taps.y && (corner.y + i32(first.y) * params.placing.step.y) % spread.y != 0) { first.y++; }
  let shift = (corner + vec2<i32>(first) * params.placing.step) / spread;
  let step = vec2<i32>(TAP) * params.placing.step / spread;
  let former = quad(pixel);
  let latter = quad(pixel + 4u);

  var former_sums = mat4x4<f32>(); // [pixel][n]
  var latter_sums = mat4x4<f32>();
  for (var tap_y = first.x; tap_y < params.placing.taps.x; tap_y += TAP_Y) {
    for (var tap_x = first.y; tap_x < params.placing.taps.y; tap_x += TAP_X) {
      let way = shift + vec2<i32>((vec2<u32>(tap_y, tap_x) - first) / TAP) * step;
      let former_spots = spots(former, way);
      let latter_spots = spots(latter, way);
      let weights = params.weight_group * group + params.weight_tap * (tap_y * params.placing.taps.y + tap_x);
      for (var c = 0u; c < params.c; c += 4u) {
        let at = params.c * group + c;
        var a = gather(former_spots, at);
        var b = gather(latter_spots, at);
        var w: mat4x4<f32>; // [c][n]
        if (WEIGHT_IS_TRANSPOSED) {
          let runs = weights + min(n + LANES, vec4<u32>(params.n - 1u)) * params.weight_step + c;
          w = mat4x4<f32>(weight4(runs.x), weight4(runs.y), weight4(runs.z), weight4(runs.w));
          if (C_IS_RAGGED) { w = cut_rows(w, params.c - c); }
          w = transpose(w);
        } else {
          // Runs beyond the last channel are the last one's, which meet zeros of the image.
          let runs = weights + min(c + LANES, vec4<u32>(params.c - 1u)) * params.weight_step + n;
          w = mat4x4<f32>(weight4(runs.x), weight4(runs.y), weight4(runs.z), weight4(runs.w));
        }
        if (C_IS_RAGGED) {
          a = cut_rows(a, params.c - c);
          b = cut_rows(b, params.c - c);
        }
        former_sums += w * a;
        latter_sums += w * b;
      }
    }
  }

  write_pixel(former, 0u, residue, group, n, former_sums[0]);
  if (pixel + 1u < params.pixels) { write_pixel(former, 1u, residue, group, n, former_sums[1]); }
  if (pixel + 2u < params.pixels) { write_pixel(former, 2u, residue, group, n, former_sums[2]); }
  if (pixel + 3u < params.pixels) { write_pixel(former, 3u, residue, group, n, former_sums[3]); }
  if (pixel + 4u < params.pixels) { write_pixel(latter, 0u, residue, group, n, latter_sums[0]); }
  if (pixel + 5u < params.pixels) { write_pixel(latter, 1u, residue, group, n, latter_sums[1]); }
  if (pixel + 6u < params.pixels) { write_pixel(latter, 2u, residue, group, n, latter_sums[2]); }
  if (pixel + 7u < params.pixels) { write_pixel(latter, 3u, residue, group, n, latter_sums[3]); }
}
