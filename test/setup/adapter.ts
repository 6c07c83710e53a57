// Runs before the workers start: TWEEDIE_ADAPTER picks the WebGPU adapter that they find, by default SwiftShader.
import { adapterEnvironment } from "../../tools/softwareAdapter.mjs";

export default function setup(): void {
  Object.assign(process.env, adapterEnvironment(process.env.TWEEDIE_ADAPTER ?? "swiftshader"));
}
