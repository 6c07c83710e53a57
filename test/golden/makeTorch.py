# Prints what PyTorch draws on the CPU and, where there is one, on a CUDA GPU: python3 makeTorch.py > torch.json
import json
import platform

import torch

SEEDS = [0, 1, 42, 2**32 - 1]
PICKED = 8


def ends(values):
    """The first and the last few of many numbers."""
    flat = values.flatten().tolist()
    return {"size": len(flat), "first": flat[:PICKED], "last": flat[-PICKED:]}


def cpu_draws(seed):
    def after_seed(draw):
        torch.manual_seed(seed)
        return draw()

    return {
        "seed": seed,
        # Fewer than 16 normals take another path, and keep half of a pair for the next call.
        "randn": {str(n): after_seed(lambda: torch.randn(n)).tolist() for n in [1, 3, 8, 15, 16, 17, 35]},
        "randnTwice": after_seed(lambda: [torch.randn(3).tolist(), torch.randn(4).tolist()]),
        "randnMany": after_seed(lambda: ends(torch.randn(1000))),
        "normal": after_seed(lambda: torch.empty(20).normal_(-0.3, 0.7)).tolist(),
        "rand": after_seed(lambda: torch.rand(20)).tolist(),
        "uniform": after_seed(lambda: torch.empty(20).uniform_(-0.3, 0.9)).tolist(),
        "randint": after_seed(lambda: torch.randint(-3, 1000, (20,))).tolist(),
        "randperm": after_seed(lambda: torch.randperm(20)).tolist(),
        "bernoulli": after_seed(lambda: torch.bernoulli(torch.full((20,), 0.3))).tolist(),
        "mixed": after_seed(
            lambda: [torch.rand(2).tolist(), torch.randn(20).tolist(), torch.randint(0, 10, (3,)).tolist()]
        ),
    }


def default_init(seed):
    """The default initialisation of layers, in the order of their construction."""
    torch.manual_seed(seed)
    linear, conv = torch.nn.Linear(6, 4), torch.nn.Conv2d(3, 5, 3)
    return {
        "seed": seed,
        "linear": {"weight": linear.weight.tolist(), "bias": linear.bias.tolist()},
        "conv2d": {"weight": ends(conv.weight), "bias": conv.bias.tolist()},
    }


def cuda_draws(seed):
    def after_seed(draw):
        torch.manual_seed(seed)
        return draw()

    device = {"device": "cuda"}
    return {
        "seed": seed,
        "randn": {str(n): after_seed(lambda: torch.randn(n, **device)).tolist() for n in [1, 5, 300]},
        "randnTwice": after_seed(lambda: [torch.randn(3, **device).tolist(), torch.randn(4, **device).tolist()]),
        # Past one element a thread, and past four: every 65536th number shows the layout.
        "randnMany": {
            str(n): after_seed(lambda: torch.randn(n, **device))[:: 2**16].tolist() for n in [2**19, 2**21 + 1]
        },
        "randnAfterMany": after_seed(lambda: (torch.randn(2**21 + 1, **device), torch.randn(5, **device))[1]).tolist(),
        "rand": after_seed(lambda: torch.rand(20, **device)).tolist(),
        "uniform": after_seed(lambda: torch.empty(20, **device).uniform_(-0.3, 0.9)).tolist(),
        "randint": after_seed(lambda: torch.randint(-3, 1000, (20,), **device)).tolist(),
    }


def cuda():
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "multiprocessors": properties.multi_processor_count,
        # Older versions do not tell; every data-centre GPU from V100 to H200 has 2048.
        "threadsPerMultiprocessor": getattr(properties, "max_threads_per_multi_processor", 2048),
        "draws": [cuda_draws(seed) for seed in SEEDS],
    }


capability = torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else "capability not told"
golden = {
    "torch": torch.__version__,
    "machine": f"{platform.machine()}, {capability}",
    "cpu": [cpu_draws(seed) for seed in SEEDS],
    "init": [default_init(seed) for seed in SEEDS],
    "cuda": cuda() if torch.cuda.is_available() else None,
}
print(json.dumps(golden, separators=(",", ":")))
