# The bench's problems in numpy: what it has a call for, and Adam as one writes it. Its products are the installed BLAS's.
import os

import numpy as np

description = f"numpy {np.__version__} ({len(os.sched_getaffinity(0))} cores)"


class Solution:
    def __init__(self, run, outputs=None):
        self.run = run
        self.outputs = outputs or (lambda: [run()])

    def settled(self):
        pass


def adam(problem, p, g):
    m, v = np.zeros_like(p), np.zeros_like(p)
    lr, t = np.float32(problem["lr"]), 0

    def run():
        nonlocal p, m, v, t
        t += 1
        m = np.float32(0.9) * m + np.float32(0.1) * g
        v = np.float32(0.999) * v + np.float32(0.001) * g * g
        first, second = np.float32(1 / (1 - 0.9**t)), np.float32(1 / (1 - 0.999**t))
        p = p - lr * (m * first) / (np.sqrt(v * second) + np.float32(1e-8))
        return p

    return Solution(run)


problems = {"matmul": lambda problem, a, b: Solution(lambda: a @ b), "adam": adam}
