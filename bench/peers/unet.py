# The U-Net of @pkg/nn in PyTorch, with the same names, so that it takes the same weights.
import torch
import torch.nn as nn
import torch.nn.functional as F


def groups(channels):
    for n in range(min(32, channels // 4), 1, -1):
        if channels % n == 0:
            return n
    return 1


class Block(nn.Module):
    def __init__(self, a, b, embedding):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups(a), a), nn.Conv2d(a, b, 3, padding=1)
        self.time = nn.Linear(embedding, b)
        self.norm2, self.conv2 = nn.GroupNorm(groups(b), b), nn.Conv2d(b, b, 3, padding=1)
        if a != b:
            self.skip = nn.Conv2d(a, b, 1)

    def forward(self, x, e):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(e)[:, :, None, None]
        return (self.skip(x) if hasattr(self, "skip") else x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x):
        b, c, h, w = x.shape
        n = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(n).chunk(3, -1)
        if hasattr(F, "scaled_dot_product_attention"):  # since torch 2
            y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        else:
            y = torch.softmax(q @ k.transpose(1, 2) * c**-0.5, -1) @ v
        return x + self.out(y).transpose(1, 2).reshape(b, c, h, w)


class Stage(nn.Module):
    def __init__(self, a, b, embedding, attention):
        super().__init__()
        self.block = Block(a, b, embedding)
        if attention:
            self.attention = Attention(b)

    def forward(self, x, e):
        h = self.block(x, e)
        return self.attention(h) if hasattr(self, "attention") else h


class Level(nn.Module):
    def __init__(self, stages, resample):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        if resample:
            self.resample = resample


class Unet(nn.Module):
    def __init__(self, inChannels, channels, multipliers, blocks=2, attentionLevels=()):
        super().__init__()
        self.channels = channels
        embedding = 4 * channels
        self.time1, self.time2 = nn.Linear(channels, embedding), nn.Linear(embedding, embedding)
        self.input = nn.Conv2d(inChannels, channels, 3, padding=1)
        widths = [m * channels for m in multipliers]
        skips, width = [channels], channels
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, to in enumerate(widths):
            stages = []
            for _ in range(blocks):
                stages.append(Stage(width, to, embedding, level in attentionLevels))
                width = to
                skips.append(to)
            is_last = level == len(widths) - 1
            self.down.append(Level(stages, None if is_last else nn.Conv2d(to, to, 3, stride=2, padding=1)))
            if not is_last:
                skips.append(to)
        self.middle = nn.ModuleList([Stage(width, width, embedding, True), Stage(width, width, embedding, False)])
        for level, to in reversed(list(enumerate(widths))):
            stages = []
            for _ in range(blocks + 1):
                stages.append(Stage(width + skips.pop(), to, embedding, level in attentionLevels))
                width = to
            self.up.append(Level(stages, nn.Conv2d(to, to, 3, padding=1) if level > 0 else None))
        self.norm, self.output = nn.GroupNorm(groups(width), width), nn.Conv2d(width, inChannels, 3, padding=1)

    def load(self, state):
        """Takes our weights: norms call theirs scale, products are [in, out], convolutions [kh, kw, in, out]."""
        own = {}
        for name, value in state.items():
            value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.t() if value.ndim == 2 else value
            own[name.replace("scale", "weight")] = value.contiguous()
        self.load_state_dict(own)

    def forward(self, x, t):
        half = self.channels // 2
        angle = t[:, None] * 10000 ** (-torch.arange(half, device=x.device) / half)[None]
        e = F.silu(self.time2(F.silu(self.time1(torch.cat([angle.cos(), angle.sin()], -1)))))
        h = self.input(x)
        skips = [h]
        for level in self.down:
            for stage in level.stages:
                h = stage(h, e)
                skips.append(h)
            if hasattr(level, "resample"):
                h = level.resample(h)
                skips.append(h)
        for stage in self.middle:
            h = stage(h, e)
        for level in self.up:
            for stage in level.stages:
                h = stage(torch.cat([h, skips.pop()], 1), e)
            if hasattr(level, "resample"):
                h = F.interpolate(h, scale_factor=2)[..., : skips[-1].shape[2], : skips[-1].shape[3]]
                h = level.resample(h)
        return self.output(F.silu(self.norm(h)))
