// A function and its gradient, as a layer has them in training: nothing of the forward pass may be left out.
import { type Differentiable, type Tensor, vjp } from "@pkg/tensor";

/** f(xs), and uᵀ ∂f/∂xᵢ for each x, where the cotangent u is the last input. */
export function withGradient(f: Differentiable<Tensor>): (inputs: readonly Tensor[]) => Tensor[] {
  return (inputs) => {
    const { value, pullback } = vjp(f, inputs.slice(0, -1));
    return [value, ...pullback(inputs[inputs.length - 1])];
  };
}
