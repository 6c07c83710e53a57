// This thread's scratch memory, and vectors at the ends of rows.

/** A page of zeros, which nobody writes to. */
// @ts-ignore: decorator
@inline
export const ZEROS: usize = 65536;

/** Where this thread may write what nobody else reads: a MiB. */
export let scratch: usize = 0;

/** Called once by each thread. */
export function useScratch(address: usize): void {
  scratch = address;
}

/** The address of element i. */
// @ts-ignore: decorator
@inline
export function element(base: usize, i: i32): usize {
  return base + (<usize>i << 2);
}

/** Copies `count` numbers, and up to three more to fill the last vector. */
// @ts-ignore: decorator
@inline
export function copyVectors(to: usize, from: usize, count: i32): void {
  const end = element(to, count);
  while (to < end) {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  }
}

/** Writes `count` times the same number, and up to three times more to fill the last vector. */
// @ts-ignore: decorator
@inline
export function fillVectors(to: usize, value: v128, count: i32): void {
  const end = element(to, count);
  while (to < end) {
    v128.store(to, value);
    to += 16;
  }
}

/** The vector x in its first `count` lanes, and `filler` in the others. */
// @ts-ignore: decorator
@inline
export function firstLanes(x: v128, count: i32, filler: v128): v128 {
  return v128.bitselect(x, filler, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count)));
}

/** Stores the first `count` lanes, all four where there are more, and touches nothing behind: other threads may write there. */
// @ts-ignore: decorator
@inline
export function storeLanes(to: usize, x: v128, count: i32): void {
  if (count >= 4) v128.store(to, x);
  else storeFew(to, x, count);
}

function storeFew(to: usize, x: v128, count: i32): void {
  v128.store_lane<f32>(to, x, 0);
  if (count > 1) v128.store_lane<f32>(to, x, 1, 4);
  if (count > 2) v128.store_lane<f32>(to, x, 2, 8);
}

// @ts-ignore: decorator
@inline
export function sumOfLanes(x: v128): f32 {
  return (f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1)) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

// @ts-ignore: decorator
@inline
export function largestLane(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)), max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}
