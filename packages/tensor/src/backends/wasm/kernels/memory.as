// This thread's scratch memory, and copies between addresses.

/** A page of zeros, which nobody writes to. */
// @ts-ignore: decorator
@inline
export const ZEROS: usize = 65536;

/** Where this thread may write what nobody else reads: SCRATCH bytes. */
export let scratch: usize = 0;

/** Called once by each thread. */
export function useScratch(address: usize): void {
  scratch = address;
}

/** Copies `count` numbers, and up to three more to fill the last vector. */
// @ts-ignore: decorator
@inline
export function copyVectors(to: usize, from: usize, count: i32): void {
  const end = to + (<usize>count << 2);
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
  const end = to + (<usize>count << 2);
  while (to < end) {
    v128.store(to, value);
    to += 16;
  }
}
