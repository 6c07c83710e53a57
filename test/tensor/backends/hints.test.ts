// What people read where a browser has no WebGPU: right for their browser and system.
import { expect, test } from "vitest";
import { noAdapterHint, noWebgpuHint } from "../../../packages/tensor/src/backends/webgpu/device/hints.ts";

const agents = {
  firefoxLinux: "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0",
  firefoxMac: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:146.0) Gecko/20100101 Firefox/146.0",
  firefoxWindows: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
  chromeLinux: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  chromeAndroid:
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
  safariMac:
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
  safariPhone:
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
};

test.each([
  ["firefoxLinux", /^Firefox for Linux has WebGPU in its Nightly builds, .*dom\.webgpu\.enabled.*; Chrome for Linux/],
  ["firefoxMac", /^this Firefox has no WebGPU, want .* on Apple silicon Firefox from 147$/],
  ["firefoxWindows", /^this Firefox has no WebGPU, want .* Firefox from 141$/],
  ["chromeLinux", /^this browser has no WebGPU, Chrome for Linux has it from 144 on for Intel's GPUs/],
  ["chromeAndroid", /^this browser has no WebGPU, want Chrome from 121$/],
  ["safariMac", /^this browser has no WebGPU, want .*Safari from 26/],
  ["safariPhone", /^this browser has no WebGPU, want iOS 26 or later$/],
] as const)("without WebGPU, %s", (agent, hint) => {
  expect(noWebgpuHint({ userAgent: agents[agent], isSecureContext: true })).toMatch(hint);
});

test("a page from elsewhere over plain http is told that this is why", () => {
  for (const userAgent of Object.values(agents)) {
    expect(noWebgpuHint({ userAgent, isSecureContext: false })).toMatch(/^pages get WebGPU from secure origins only/);
  }
});

test("where WebGPU finds no adapter, Chrome for Linux is told its flags, others to look at their settings", () => {
  expect(noAdapterHint({ userAgent: agents.chromeLinux })).toMatch(/--enable-unsafe-webgpu --enable-features=Vulkan$/);
  for (const agent of ["firefoxWindows", "chromeAndroid", "safariMac"] as const) {
    expect(noAdapterHint({ userAgent: agents[agent] })).toMatch(/^WebGPU finds no adapter, want a GPU .* settings$/);
  }
});
