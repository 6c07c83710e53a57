# The bench's cases in PyTorch: `python3 bench/peers/torch_peer.py [--json FILE]`. Needs torch; CUDA where there is a GPU.
# float32 throughout with TF32 off, since WGSL has no TF32; a second column allows it, which is PyTorch's default for convolutions.
import argparse
import json
import time

import torch
import torch.nn.functional as F

device = "cuda" if torch.cuda.is_available() else "cpu"


# A GPU that idled raises its clocks in some hundred milliseconds: the bench warms up as long.
CLOCK_RAMP = 0.8 if device == "cuda" else 0.1


def measure(run, warm):
    began = time.perf_counter()
    while time.perf_counter() - began < warm:
        run()
        sync()
    began = time.perf_counter()
    run()
    sync()
    once = max(1e-6, time.perf_counter() - began)
    repeats = max(1, min(1000, int(0.02 / once)))
    samples = []
    for _ in range(15):
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        sync()
        samples.append((time.perf_counter() - began) / repeats * 1000)
    return sorted(samples)[len(samples) // 2]


def sync():
    if device == "cuda":
        torch.cuda.synchronize()


def draw(*shape):
    return torch.rand(*shape, device=device) * 2 - 1


def matmul(m, k, n):
    a, b = draw(m, k), draw(k, n)
    yield "matmul", f"{m}×{k}×{n}", lambda: a @ b


def convolution(batch, side, a, b, kernel=3, stride=1):
    x = draw(batch, a, side, side).to(memory_format=torch.channels_last)
    w = draw(b, a, kernel, kernel).to(memory_format=torch.channels_last)
    pad = kernel // 2
    g = torch.empty_like(F.conv2d(x, w, stride=stride, padding=pad)).uniform_(-1, 1)
    size = f"{batch}×{side}²×{a}→{b}, {kernel}×{kernel}" + (f", stride {stride}" if stride > 1 else "")

    def backward(mask):
        return torch.ops.aten.convolution_backward(
            g, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask
        )

    yield "conv2d", size, lambda: F.conv2d(x, w, stride=stride, padding=pad)
    yield "conv2d input gradient", size, lambda: backward([True, False, False])
    yield "conv2d weight gradient", size, lambda: backward([False, True, False])


def attention(batch, heads, length, depth):
    q, k, v = (draw(batch, heads, length, depth).requires_grad_() for _ in range(3))
    g = draw(batch, heads, length, depth)
    size = f"{batch}×{heads}, length {length}, depth {depth}"

    def both():
        y = F.scaled_dot_product_attention(q, k, v)
        return torch.autograd.grad(y, (q, k, v), g)

    def forward():
        with torch.no_grad():
            return F.scaled_dot_product_attention(q, k, v)

    yield "attention", size, forward
    yield "attention with gradient", size, both


def group_norm(batch, side, channels):
    x = draw(batch, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
    scale, bias = draw(channels).requires_grad_(), draw(channels).requires_grad_()
    g = torch.rand_like(x)
    size = f"{batch}×{side}²×{channels}"

    def forward():
        with torch.no_grad():
            return F.silu(F.group_norm(x, 32, scale, bias))

    def both():
        return torch.autograd.grad(F.silu(F.group_norm(x, 32, scale, bias)), (x, scale, bias), g)

    yield "groupNorm + SiLU", size, forward
    yield "groupNorm + SiLU with gradient", size, both


def elementwise(elements):
    a, b = draw(elements), draw(elements)
    size = f"{elements / 2**20:g} M"
    p = draw(elements).requires_grad_()
    p.grad = draw(elements)
    optimizer = torch.optim.AdamW([p], lr=1e-3, weight_decay=0, fused=device == "cuda")
    x0, signal, noise = draw(64, elements // 64), draw(64, 1), draw(64, 1)
    yield "add", size, lambda: a + b
    yield "SiLU", size, lambda: F.silu(a)
    yield "sum", size, lambda: a.sum()
    yield "AdamW", size, lambda: optimizer.step()
    yield "normal", size, lambda: torch.randn(elements, device=device)

    def noise_add():
        e = torch.randn_like(x0)
        return signal * x0 + noise * e, e

    yield "noise-add", size, noise_add


def softmax(rows, columns):
    x = draw(rows, columns) * 8
    yield "softmax", f"{rows}×{columns}", lambda: torch.softmax(x, -1)


def cases(large):
    yield from matmul(256, 256, 256)
    yield from matmul(512, 512, 512)
    yield from matmul(1024, 1024, 1024)
    yield from convolution(1, 32, 32, 32)
    yield from convolution(16, 28, 33, 65)
    yield from convolution(1, 32, 128, 128)
    yield from attention(4, 4, 64, 32)
    yield from attention(4, 4, 256, 64)
    yield from elementwise(2**20)
    yield from softmax(4096, 256)
    yield from group_norm(2, 32, 64)
    if not large:
        return
    yield from matmul(2048, 2048, 2048)
    yield from matmul(4096, 4096, 4096)
    yield from matmul(131072, 128, 128)
    yield from matmul(32768, 256, 256)
    yield from convolution(128, 32, 128, 128)
    yield from convolution(128, 16, 512, 256)
    yield from convolution(128, 16, 256, 256)
    yield from convolution(128, 8, 256, 256)
    yield from convolution(128, 32, 128, 128, stride=2)
    yield from convolution(128, 16, 256, 256, kernel=1)
    yield from convolution(128, 32, 3, 128)
    yield from convolution(128, 32, 128, 3)
    yield from attention(128, 1, 256, 256)
    yield from attention(16, 8, 1024, 64)
    yield from elementwise(2**24)
    yield from softmax(65536, 256)
    yield from group_norm(128, 32, 128)
    yield from group_norm(128, 16, 256)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    flags = parser.parse_args()
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    print(f"torch {torch.__version__} on {name}")
    rows = []
    for kernel, size, run in cases(device == "cuda"):
        times = []
        for tf32 in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.allow_tf32 = tf32
            times.append(measure(run, 0.1 if tf32 else CLOCK_RAMP))
        rows.append({"name": kernel, "size": size, "median": times[0], "median_tf32": times[1]})
        print(f"{kernel:32}{size:36}{times[0]:10.3f} ms {times[1]:10.3f} ms with TF32", flush=True)
    if flags.json:
        with open(flags.json, "w") as file:
            json.dump({"torch": torch.__version__, "device": name, "rows": rows}, file)


main()
