# Prints checksums of the steps that diffusers' schedulers take from numpy: python3 makeSpacing.py > spacing.json (numpy 2.4.6)
import json
import zlib

import numpy as np

BLOCK = 10


def linspace(total, n):
    return np.linspace(0, total - 1, n).round()[::-1]


def trailing(total, n):
    # For some n rounding makes arange one longer than n, and its last step −1, which is none: n are taken.
    return (np.round(np.arange(total, 0, -total / n)) - 1)[:n]


def checksums(spaced, total):
    """CRC-32 of each ten numbers of steps: the steps in decimal, the noisiest first, joined by commas, one list a line."""
    lists = [",".join(str(int(t)) for t in spaced(total, n)) for n in range(1, min(total, 1000) + 1)]
    return [zlib.crc32("\n".join(lists[k : k + BLOCK]).encode()) for k in range(0, len(lists), BLOCK)]


print(
    json.dumps(
        {
            "numpy": np.__version__,
            "linspace": {str(total): checksums(linspace, total) for total in [100, 1000, 4000]},
            "trailing": {str(total): checksums(trailing, total) for total in [100, 1000, 4000]},
        }
    )
)
