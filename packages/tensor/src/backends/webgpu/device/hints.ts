// What to say where a browser has no WebGPU, or no adapter: which browser has one on this system, and how to get it.

/** What is known of a page's browser. */
export interface BrowserKind {
  /** navigator.userAgent */
  readonly userAgent: string;
  /** Pages from other hosts over plain http are none, and WebGPU is hidden from them. */
  readonly isSecureContext: boolean;
}

const CHROME_ON_LINUX =
  "Chrome for Linux has it from 144 on for Intel's GPUs (generation 12 or later) and from 147 for NVIDIA's, others with --enable-unsafe-webgpu --enable-features=Vulkan";
const ELSEWHERE: Readonly<Record<System, string>> = {
  Linux: CHROME_ON_LINUX,
  Mac: "want Chrome or Edge from 113, Safari from 26, or on Apple silicon Firefox from 147",
  Windows: "want Chrome or Edge from 113, or Firefox from 141",
  Android: "want Chrome from 121",
  iOS: "want iOS 26 or later",
};

type System = "Linux" | "Mac" | "Windows" | "Android" | "iOS";

/** Why a page finds no `navigator.gpu`. */
export function noWebgpuHint({ userAgent, isSecureContext }: BrowserKind): string {
  if (!isSecureContext) return "pages get WebGPU from secure origins only, want https:// or http://localhost";
  const system = systemOf(userAgent);
  if (!isFirefox(userAgent)) return `this browser has no WebGPU, ${ELSEWHERE[system]}`;
  if (system === "Linux")
    return `Firefox for Linux has WebGPU in its Nightly builds, in others where about:config has dom.webgpu.enabled and gfx.webgpu.force-enabled set to true; ${CHROME_ON_LINUX}`;
  return `this Firefox has no WebGPU, ${ELSEWHERE[system]}`;
}

/** Why a browser's WebGPU finds no adapter. */
export function noAdapterHint({ userAgent }: Pick<BrowserKind, "userAgent">): string {
  if (systemOf(userAgent) !== "Linux" || isFirefox(userAgent)) {
    return "WebGPU finds no adapter, want a GPU that the browser supports, and hardware acceleration turned on in its settings";
  }
  return `WebGPU finds no adapter: ${CHROME_ON_LINUX}`;
}

function isFirefox(userAgent: string): boolean {
  return /\bFirefox\//.test(userAgent);
}

function systemOf(userAgent: string): System {
  if (/Android/.test(userAgent)) return "Android"; // which says Linux too
  if (/iPhone|iPad/.test(userAgent)) return "iOS";
  if (/Windows/.test(userAgent)) return "Windows";
  return /Mac/.test(userAgent) ? "Mac" : "Linux";
}
