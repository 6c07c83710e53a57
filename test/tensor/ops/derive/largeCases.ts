// Cases of ops that several threads share, each with a rest in every direction.
import type { Case } from "../../../../packages/tensor/src/op.ts";
import * as ops from "../../../../packages/tensor/src/ops/index.ts";
import type { AnyOp } from "../derived.ts";

const CONV = {
  stride: [1, 1],
  padding: [
    [1, 1],
    [1, 1],
  ],
  dilation: [1, 1],
  groups: 1,
} as const;
const STRIDED = { ...CONV, stride: [2, 2] } as const;
const NORM = { groups: 4, epsilon: 1e-5, activation: "silu" } as const;
const DRAW = { key: [1, 2], index: 3 } as const;

/** A case of an op, and what a test of it is called. */
export interface LargeCase {
  readonly name: string;
  readonly op: AnyOp;
  readonly given: Case<unknown>;
}

/** Operands that take several blocks of rows, of columns and of terms, with a rest in each. */
export const LARGE: readonly LargeCase[] = [
  large(ops.add, [
    [130, 257],
    [130, 257],
  ]),
  large(ops.exp, [{ shape: [70001], range: [-80, 80] }]),
  large(ops.tanh, [{ shape: [40001], range: [-9, 9] }]),
  large(ops.sin, [{ shape: [40001], range: [-1e4, 1e4] }]),
  large(ops.log, [{ shape: [40001], range: [1e-30, 9] }]),
  large(ops.sum, [[50021, 3]], { axes: [0] }),
  large(ops.sum, [[7, 9001]], { axes: [1] }),
  large(ops.sum, [[50, 33, 40]], { axes: [0, 1] }),
  large(ops.max, [[50021, 3]], { axes: [0] }),
  large(
    ops.concat,
    [
      [130, 200],
      [130, 77],
    ],
    { axis: 1 },
  ),
  large(ops.unslice, [[130, 150]], { starts: [2, 1], steps: [1, 2], shape: [140, 301] }),
  large(ops.softmax, [[1301, 65]]),
  large(ops.matmul, [
    [300, 1300],
    [1300, 77],
  ]),
  large(ops.matmul, [
    [5, 5000],
    [5000, 5],
  ]),
  large(ops.matmul, [
    [17, 33],
    [33, 900],
  ]),
  large(ops.matmul, [
    [3, 90, 70],
    [3, 70, 50],
  ]),
  large(
    ops.conv2d,
    [
      [3, 17, 19, 33],
      [3, 3, 33, 41],
    ],
    CONV,
  ),
  large(
    ops.conv2d,
    [
      [3, 17, 19, 1],
      [3, 3, 1, 40],
    ],
    STRIDED,
  ),
  large(
    ops.conv2dInput,
    [
      [3, 9, 10, 41],
      [3, 3, 36, 41],
    ],
    { ...STRIDED, inputShape: [3, 17, 19, 36] },
  ),
  large(
    ops.conv2dWeight,
    [
      [3, 17, 19, 33],
      [3, 17, 19, 41],
    ],
    { ...CONV, kernelSize: [3, 3] },
  ),
  large(
    ops.conv2dWeight,
    [
      [9, 28, 28, 1],
      [9, 28, 28, 10],
    ],
    { ...CONV, kernelSize: [3, 3] },
  ),
  large(
    ops.conv2d,
    [
      [5, 17, 18, 37],
      [3, 3, 37, 41],
    ],
    CONV,
  ),
  large(
    ops.conv2d,
    [
      [1, 33, 32, 20],
      [3, 3, 20, 150],
    ],
    {
      ...CONV,
      padding: [
        [0, 2],
        [1, 0],
      ],
    },
  ),
  large(
    ops.conv2dInput,
    [
      [5, 17, 18, 41],
      [3, 3, 37, 41],
    ],
    { ...CONV, inputShape: [5, 17, 18, 37] },
  ),
  large(
    ops.conv2dWeight,
    [
      [5, 17, 18, 71],
      [5, 17, 18, 68],
    ],
    { ...CONV, kernelSize: [3, 3] },
  ),
  large(ops.groupNorm, [[9, 13, 17, 36], [36], [36]], NORM),
  large(
    ops.attention,
    [
      [2, 3, 130, 20],
      [2, 3, 70, 20],
      [2, 3, 70, 20],
    ],
    { scale: 0.2 },
  ),
  // More scores than are worked on at once, of which one sample's are half as many again.
  large(
    ops.attention,
    [
      [2, 2, 1290, 6],
      [2, 2, 1220, 6],
      [2, 2, 1220, 5],
    ],
    { scale: 0.4 },
  ),
  large(
    ops.attentionGrad,
    [
      [3, 2, 450, 5],
      [3, 2, 450, 6],
      [3, 2, 420, 6],
      [3, 2, 420, 5],
      [3, 2, 450],
      { shape: [3, 2, 450], range: [6, 7] },
    ],
    { scale: 0.4 },
  ),
  large(ops.windowSpread, [[9, 14, 14, 30]], {
    window: [2, 2],
    stride: [2, 2],
    padding: [0, 0],
    weight: 1,
    size: [28, 28],
  }),
  large(ops.randomNormal, [], { ...DRAW, scale: 1, shift: 0, shape: [100_003] }),
  large(ops.dropout, [[100_003]], { ...DRAW, rate: 0.3 }),
  large(ops.noiseAdd, [[37, 1001], [37], [37]], DRAW),
  large(ops.sumWeighted, [[100_003], [100_003], [100_003]], { weights: [0.5, -1, 0.25] }),
  large(ops.countNonFinite, [[100_003], [33, 77]]),
];

function large(op: AnyOp, inputs: Case<unknown>["inputs"], attrs?: unknown): LargeCase {
  const given = { inputs, attrs };
  return { name: `${op.name} of ${shapesOf(given)}`, op, given };
}

function shapesOf({ inputs, attrs }: Case<unknown>): string {
  const shapes = inputs.map((input) => `[${"shape" in input ? input.shape : input}]`);
  return shapes.length > 0 ? shapes.join(" and ") : JSON.stringify(attrs);
}
