// Arrays with their axes in another order, for libraries whose images have channels first.

/** The elements in another order of axes; as they are where `order` is undefined. */
export function permuted({ data, shape }, order) {
  if (!order) return { data, shape };
  const strides = shape.map((_, k) => shape.slice(k + 1).reduce((a, b) => a * b, 1));
  const [to, from] = [order.map((k) => shape[k]), order.map((k) => strides[k])];
  const result = new Float32Array(data.length);
  let at = 0;
  const copy = (axis, base) => {
    if (axis === to.length) result[at++] = data[base];
    else for (let i = 0; i < to[axis]; i++) copy(axis + 1, base + i * from[axis]);
  };
  copy(0, 0);
  return { data: result, shape: to };
}
