// How many invocations a workgroup of a kernel has, read from its WGSL: no host side says it again.

/** The workgroup size of a kernel; null where it is neither a number nor a `const` that is one. */
export function workgroupSize(wgsl: string): number | null {
  const size = /@workgroup_size\((\w+)\)/.exec(wgsl)?.[1] ?? "";
  const number = /^\d/.test(size) ? size : (new RegExp(`^const ${size} = (\\d+)u?;`, "m").exec(wgsl)?.[1] ?? "");
  return number === "" ? null : Number.parseInt(number, 10);
}
