#!/usr/bin/env bash
# Node 20.20.2, with --experimental-wasm-relaxed-simd: two instructions of WebAssembly's relaxed SIMD give one result in functions that
# the baseline compiler made and another in those of the optimising one, so a loop changes its result while it runs. The proposal lets an
# environment choose among results, but once for all. Node 22.23.3 gives one result in both. Seen on x86-64:
#   v20.20.2 baseline: laneselect 0x00ffff00, trunc_u(-1) 0x00000000    optimising: laneselect 0x00000000, trunc_u(-1) 0xffffffff
#   v22.23.3 baseline: laneselect 0x00000000, trunc_u(-1) 0x00000000    optimising: the same
# laneselect is i32x4.relaxed_laneselect of -1, 0 and the mask 0x7fff8000; trunc_u is i32x4.relaxed_trunc_f32x4_u.
# Exits with 0 while that is so, with 1 once it is not. Installs compiler and both versions of Node from npm into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "type": "module", "private": true }' > package.json
npm install --silent --no-audit --no-fund assemblyscript@0.28.20 node20@npm:node@20.20.2 node22@npm:node@22.23.3

cat > relaxed.ts <<'TS'
export function laneselect(a: i32, b: i32, mask: i32): i32 {
  return i32x4.extract_lane(i32x4.relaxed_laneselect(i32x4.splat(a), i32x4.splat(b), i32x4.splat(mask)), 0);
}
export function trunc_u(x: f32): i32 { return i32x4.extract_lane(i32x4.relaxed_trunc_f32x4_u(f32x4.splat(x)), 0); }
TS
npx asc relaxed.ts --outFile relaxed.wasm -O3 --runtime stub --enable simd --enable relaxed-simd

cat > show.mjs <<'JS'
import { readFileSync } from "node:fs";
const { instance } = await WebAssembly.instantiate(readFileSync("relaxed.wasm"), { env: { abort() {} } });
const { laneselect, trunc_u } = instance.exports;
const hex = (value) => `0x${(value >>> 0).toString(16).padStart(8, "0")}`;
console.log(`laneselect ${hex(laneselect(-1, 0, 0x7fff8000))}, trunc_u(-1) ${hex(trunc_u(-1))}`);
JS
for version in 20 22; do
  for compiler in --liftoff-only --no-liftoff; do
    flags="$compiler"
    if [ $version = 20 ]; then flags="$flags --experimental-wasm-relaxed-simd"; fi
    # shellcheck disable=SC2086
    result=$("node_modules/node$version/bin/node" $flags show.mjs)
    echo "Node $version $compiler: $result" | tee -a seen
  done
done
diff seen - <<'SEEN'
Node 20 --liftoff-only: laneselect 0x00ffff00, trunc_u(-1) 0x00000000
Node 20 --no-liftoff: laneselect 0x00000000, trunc_u(-1) 0xffffffff
Node 22 --liftoff-only: laneselect 0x00000000, trunc_u(-1) 0x00000000
Node 22 --no-liftoff: laneselect 0x00000000, trunc_u(-1) 0x00000000
SEEN
