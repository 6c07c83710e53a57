// The linear assignment problem, exactly: the permutation of least total cost.

/**
 * The column of each row such that Σ cost[row][column] is least, by shortest augmenting paths with dual prices (Kuhn 1955; Jonker &
 * Volgenant 1987): O(n³), a fraction of a second for n = 512.
 * @param costs n × n finite numbers, row by row
 */
export function leastAssignment(costs: ArrayLike<number>, n: number): Int32Array {
  const [rowPrices, columnPrices] = [new Float64Array(n), new Float64Array(n)];
  const rowOf = new Int32Array(n).fill(-1);
  const columnOf = new Int32Array(n).fill(-1);
  const before = new Int32Array(n); // the column by whose row the path came to a column; −1 for the new row's
  for (let start = 0; start < n; start++) {
    const distances = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
    const isDone = new Uint8Array(n);
    let [row, reached, last] = [start, -1, 0];
    // The shortest path, in reduced costs, from the new row to a free column.
    while (reached === -1) {
      const from = row === start ? -1 : columnOf[row];
      let [nearest, least] = [-1, Number.POSITIVE_INFINITY];
      for (let column = 0; column < n; column++) {
        if (isDone[column]) continue;
        const distance = last + costs[row * n + column] - rowPrices[row] - columnPrices[column];
        if (distance < distances[column]) {
          distances[column] = distance;
          before[column] = from;
        }
        if (distances[column] < least) [nearest, least] = [column, distances[column]];
      }
      isDone[nearest] = 1;
      last = least;
      if (rowOf[nearest] === -1) reached = nearest;
      else row = rowOf[nearest];
    }
    rowPrices[start] += last;
    for (let column = 0; column < n; column++) {
      if (!isDone[column] || column === reached) continue;
      columnPrices[column] -= last - distances[column];
      rowPrices[rowOf[column]] += last - distances[column];
    }
    // Along the path every row takes the column that it came to.
    for (let column = reached; ; column = before[column]) {
      const previous = before[column];
      const taken = previous === -1 ? start : rowOf[previous];
      rowOf[column] = taken;
      columnOf[taken] = column;
      if (previous === -1) break;
    }
  }
  return columnOf;
}
