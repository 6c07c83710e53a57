# The bench's problems in PyTorch, on CUDA where there is a GPU, images channels last: `host.py torch float32` (TF32 off), and on
# CUDA `host.py torch tf32` (products of operands rounded to TF32) and `host.py torch autocast` (products in float16).
import contextlib
import os
import sys

import torch
import torch.nn.functional as F

from unet import Unet

device = "cuda" if torch.cuda.is_available() else "cpu"
precision = sys.argv[2]
if precision not in ("float32", "tf32", "autocast"):
    raise ValueError(f"precision {precision}, want float32, tf32 or autocast")
if precision != "float32" and device != "cuda":
    raise ValueError(f"{precision}: there is no CUDA device")
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
torch.set_num_threads(len(os.sched_getaffinity(0)))
name = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
description = f"torch {torch.__version__} ({name}), {precision}"


def products():
    return torch.autocast("cuda", torch.float16) if precision == "autocast" else contextlib.nullcontext()


class Solution:
    """`run` returns its outputs, or `outputs` says what they are after a run. `within`: autocast is for all of it."""

    def __init__(self, run, outputs=None, within=True):
        def cast():
            with products():
                return run()

        self.run = cast if within else run
        self.read = outputs

    def outputs(self):
        made = self.run()
        if self.read:
            made = self.read()
        made = made if isinstance(made, (list, tuple)) else [made]
        return [t.detach().float().cpu().numpy() for t in made]

    def settled(self):
        if device == "cuda":
            torch.cuda.synchronize()


def place(array):
    return torch.from_numpy(array).to(device)


def image(array):
    """[batch, height, width, channels] as torch sees it: the same memory, with its axes in another order."""
    return place(array).permute(0, 3, 1, 2)


def weight(array):
    """[kh, kw, in, out] → [out, in, kh, kw] in channels-last memory, which convolutions of such images want."""
    return place(array).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)


def last(t):
    return t.permute(0, 2, 3, 1)


def matmul(problem, a, b):
    a, b = place(a), place(b)
    return Solution(lambda: a @ b)


def conv2d(problem, x, w):
    x, w = image(x), weight(w)
    return Solution(lambda: last(F.conv2d(x, w, padding=1)))


def conv2d_gradient(problem, x, w, g):
    x, w, g = image(x).requires_grad_(), weight(w).requires_grad_(), image(g)

    def run():
        y = F.conv2d(x, w, padding=1)
        dx, dw = torch.autograd.grad(y, (x, w), g)
        return [last(y), last(dx), dw.permute(2, 3, 1, 0)]

    return Solution(run)


def attend(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):  # since torch 2
        return F.scaled_dot_product_attention(q, k, v)
    return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1) @ v


def attention(problem, *inputs):
    q, k, v = map(place, inputs)
    return Solution(lambda: attend(q, k, v))


def attention_gradient(problem, *inputs):
    q, k, v = (place(i).requires_grad_() for i in inputs[:3])
    g = place(inputs[3])

    def run():
        o = attend(q, k, v)
        return [o, *torch.autograd.grad(o, (q, k, v), g)]

    return Solution(run)


def group_norm(problem, x, scale, bias):
    x, scale, bias = image(x), place(scale), place(bias)
    return Solution(lambda: last(F.silu(F.group_norm(x, problem["groups"], scale, bias))))


def group_norm_gradient(problem, x, scale, bias, g):
    x, scale, bias = image(x).requires_grad_(), place(scale).requires_grad_(), place(bias).requires_grad_()
    g = image(g)

    def run():
        y = F.silu(F.group_norm(x, problem["groups"], scale, bias))
        dx, dscale, dbias = torch.autograd.grad(y, (x, scale, bias), g)
        return [last(y), last(dx), dscale, dbias]

    return Solution(run)


def adam(problem, p, g):
    p = place(p).requires_grad_()
    p.grad = place(g)
    optimizer = torch.optim.Adam([p], lr=problem["lr"], **({"fused": True} if device == "cuda" else {}))
    return Solution(optimizer.step, lambda: p)


def mlp(problem, x, target, *weights):
    x, target = place(x), place(target)
    weights = [place(w).requires_grad_() for w in weights]
    optimizer = torch.optim.Adam(weights, lr=problem["lr"], **({"fused": True} if device == "cuda" else {}))
    w1, b1, w2, b2, w3, b3 = weights

    def run():
        with products():
            hidden = F.silu(torch.addmm(b1, x, w1))
            y = torch.addmm(b3, F.silu(torch.addmm(b2, hidden, w2)), w3)
            loss = F.mse_loss(y.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Solution(run, lambda: weights, within=False)


def unet(problem, xt, noise, *state):
    model = Unet(**problem["config"]).to(device)
    model.load(dict(zip(problem["names"], map(place, state))))
    model.to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    average = [p.detach().clone() for p in weights]
    optimizer = torch.optim.AdamW(weights, lr=problem["lr"], weight_decay=0, **({"fused": True} if device == "cuda" else {}))
    xt, noise = image(xt), image(noise)
    t = torch.full((xt.shape[0],), float(problem["time"]), device=device)
    losses = []
    # Gradients in float16 are scaled so that small ones do not vanish.
    scaler = torch.cuda.amp.GradScaler(enabled=precision == "autocast")

    def run():
        with products():
            loss = F.mse_loss(model(xt, t).float(), noise)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        scaler.step(optimizer)
        scaler.update()
        torch._foreach_mul_(average, 0.999)
        torch._foreach_add_(average, [p.detach() for p in weights], alpha=0.001)
        losses.append(loss.detach())

    def outputs():
        for _ in range(problem["steps"] - 1):
            run()
        return torch.stack(losses)

    return Solution(run, outputs, within=False)


problems = {
    "matmul": matmul,
    "conv2d": conv2d,
    "conv2d with gradient": conv2d_gradient,
    "attention": attention,
    "attention with gradient": attention_gradient,
    "groupNorm": group_norm,
    "groupNorm with gradient": group_norm_gradient,
    "adam": adam,
    "mlp": mlp,
    "unet": unet,
}
