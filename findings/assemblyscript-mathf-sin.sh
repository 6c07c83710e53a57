#!/usr/bin/env bash
# AssemblyScript 0.28.20: Mathf.sin, Mathf.cos and Mathf.tan are wrong for all arguments from 2^89 up to 2^90, and right beside them.
# Want: sin(6.2e26) within float32's precision of its value, as on both sides. Seen, with Node 20.20.2, for 64 arguments per power of 2:
#   2^88: 0 of 192 wrong    2^89: 192 of 192 wrong    2^90: 0 of 192 wrong
# Exits with 0 while that is so, with 1 once it is not. Installs the compiler from npm into a temporary folder. Takes some seconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "type": "module", "private": true }' > package.json
npm install --silent --no-audit --no-fund assemblyscript@0.28.20

cat > functions.ts <<'TS'
export function sin(x: f32): f32 { return Mathf.sin(x); }
export function cos(x: f32): f32 { return Mathf.cos(x); }
export function tan(x: f32): f32 { return Mathf.tan(x); }
TS
npx asc functions.ts --outFile functions.wasm -O3 --runtime stub

cat > check.mjs <<'JS'
import { readFileSync } from "node:fs";
const { instance } = await WebAssembly.instantiate(readFileSync("functions.wasm"), { env: { abort() {} } });
const wrong = [88, 89, 90].map((exponent) => {
  let count = 0;
  for (let k = 0; k < 64; k++) {
    const x = Math.fround(2 ** exponent * (1 + (k + 0.3) / 64));
    for (const name of ["sin", "cos", "tan"]) {
      const want = Math[name](x);
      if (Math.abs(instance.exports[name](x) - want) > 1e-4 * Math.max(1, Math.abs(want)) ** 2) count++;
    }
  }
  console.log(`2^${exponent}: ${count} of 192 wrong`);
  return count;
});
process.exitCode = `${wrong}` === "0,192,0" ? 0 : 1;
JS
node check.mjs
