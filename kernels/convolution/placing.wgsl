// place = (pixel · scale + shift + tap · step) / spread: which pixel of an image lies under a tap of a pixel.

const NOWHERE = 0xffffffffu;

/** How the pixels that a kernel walks meet those of an image. */
struct Placing {
  taps: vec2<u32>,
  size: vec2<u32>, // height and width of what is walked
  image_size: vec2<u32>,
  scale: vec2<i32>,
  shift: vec2<i32>,
  step: vec2<i32>,
  image_offset: u32,
  image_strides: vec3<u32>, // of batch, rows and columns
}

/** The address of the pixel at a place of the image that begins at `base`. */
fn address_at(base: u32, place: vec2<i32>, size: vec2<u32>, strides: vec3<u32>) -> u32 {
  if (any(place < vec2<i32>(0)) || any(vec2<u32>(place) >= size)) {
    return NOWHERE;
  }
  return base + u32(place.x) * strides.y + u32(place.y) * strides.z;
}
