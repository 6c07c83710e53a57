# The U-Nets of bench/endToEnd.ts in PyTorch: `python3 bench/peers/torch_unet.py`. Training steps with AdamW, clipping and an
# average of the weights, as ours; float32 with TF32 off and on.
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

device = "cuda" if torch.cuda.is_available() else "cpu"


def groups(channels):
    for n in range(min(32, channels // 4), 1, -1):
        if channels % n == 0:
            return n
    return 1


class Residual(nn.Module):
    def __init__(self, a, b, embedding):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups(a), a), nn.Conv2d(a, b, 3, padding=1)
        self.time = nn.Linear(embedding, b)
        self.norm2, self.conv2 = nn.GroupNorm(groups(b), b), nn.Conv2d(b, b, 3, padding=1)
        self.skip = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x, e):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(e)[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x):
        b, c, h, w = x.shape
        n = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(n).chunk(3, -1)
        y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.out(y).transpose(1, 2).reshape(b, c, h, w)


class Stage(nn.Module):
    def __init__(self, a, b, embedding, attention):
        super().__init__()
        self.block = Residual(a, b, embedding)
        self.attention = Attention(b) if attention else nn.Identity()

    def forward(self, x, e):
        return self.attention(self.block(x, e))


class Unet(nn.Module):
    def __init__(self, channels_in, channels, multipliers, blocks, attention):
        super().__init__()
        self.channels = channels
        embedding = 4 * channels
        self.time = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.input = nn.Conv2d(channels_in, channels, 3, padding=1)
        widths = [m * channels for m in multipliers]
        skips, width = [channels], channels
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for level, to in enumerate(widths):
            stages = nn.ModuleList()
            for _ in range(blocks):
                stages.append(Stage(width, to, embedding, level in attention))
                width = to
                skips.append(to)
            self.down.append(stages)
            if level < len(widths) - 1:
                self.shrink.append(nn.Conv2d(to, to, 3, stride=2, padding=1))
                skips.append(to)
        self.middle1, self.middle2 = Stage(width, width, embedding, True), Stage(width, width, embedding, False)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, to in reversed(list(enumerate(widths))):
            stages = nn.ModuleList()
            for _ in range(blocks + 1):
                stages.append(Stage(width + skips.pop(), to, embedding, level in attention))
                width = to
            self.up.append(stages)
            if level > 0:
                self.grow.append(nn.Conv2d(to, to, 3, padding=1))
        self.norm, self.output = nn.GroupNorm(groups(width), width), nn.Conv2d(width, channels_in, 3, padding=1)

    def forward(self, x, t):
        half = self.channels // 2
        angle = t[:, None] * 10000 ** (-torch.arange(half, device=x.device) / half)[None]
        e = F.silu(self.time(torch.cat([angle.cos(), angle.sin()], -1)))
        h = self.input(x)
        skips = [h]
        for level, stages in enumerate(self.down):
            for stage in stages:
                h = stage(h, e)
                skips.append(h)
            if level < len(self.shrink):
                h = self.shrink[level](h)
                skips.append(h)
        h = self.middle2(self.middle1(h, e), e)
        for level, stages in enumerate(self.up):
            for stage in stages:
                h = stage(torch.cat([h, skips.pop()], 1), e)
            if level < len(self.grow):
                h = F.interpolate(h, scale_factor=2)[..., : skips[-1].shape[2], : skips[-1].shape[3]]
                h = self.grow[level](h)
        return self.output(F.silu(self.norm(h)))


def measure(name, side, channels_in, batch, **config):
    torch.manual_seed(0)
    model = Unet(channels_in, **config).to(device).to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    average = [p.detach().clone() for p in weights]
    optimizer = torch.optim.AdamW(weights, lr=2e-4, weight_decay=0, fused=device == "cuda")
    x0 = torch.randn(batch, channels_in, side, side, device=device).to(memory_format=torch.channels_last)
    bars = torch.linspace(0.999, 0.001, 1000, device=device)

    def step():
        t = torch.randint(0, 1000, (batch,), device=device)
        noise = torch.randn_like(x0)
        bar = bars[t][:, None, None, None]
        loss = F.mse_loss(model(bar.sqrt() * x0 + (1 - bar).sqrt() * noise, t), noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in weights], 0.001)

    @torch.no_grad()
    def forward():
        model(x0, torch.zeros(batch, device=device))

    count = sum(p.numel() for p in weights)
    for tf32 in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        times = {}
        for label, run in (("train step", step), ("forward", forward)):
            for _ in range(10):
                run()
            samples = []
            for _ in range(15):
                if device == "cuda":
                    torch.cuda.synchronize()
                began = time.perf_counter()
                run()
                if device == "cuda":
                    torch.cuda.synchronize()
                samples.append((time.perf_counter() - began) * 1000)
            times[label] = sorted(samples)[7]
        shown = ", ".join(f"{label} {value:.1f} ms" for label, value in times.items())
        print(f"{name} ({count / 1e6:.2f} M weights), batch {batch}, TF32 {'on' if tf32 else 'off'}: {shown}", flush=True)


print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device == 'cuda' else 'cpu'}")
measure("MNIST U-Net", 28, 1, 64, channels=32, multipliers=[1, 2, 2], blocks=1, attention=[])
if device == "cuda":
    measure("CIFAR-10 U-Net", 32, 3, 128, channels=128, multipliers=[1, 2, 2, 2], blocks=2, attention=[1])
