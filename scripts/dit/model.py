"""The class-conditional diffusion transformer in plain torch, under the tensor names of diffusers' DiTTransformer2DModel.

Works on pixels: the latent is the image itself, [B, 3, 32, 32] in [-1, 1], 256 tokens of 2x2 pixels on a 16x16 grid; the
output is the predicted noise (out_channels 3, so there are no variance channels to drop). The timestep MLP and the class
table are one module that every block holds, equal everywhere as in the published DiT, and state_dict() lists it once per
block. The last row of the table is the class "none" of classifier-free guidance.
"""
import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

SINUSOID = 256
TRAIN_STEPS = 1000


@dataclass(frozen=True)
class Config:
    """What transformer/config.json holds; names and meaning are diffusers'."""

    num_attention_heads: int
    attention_head_dim: int
    num_layers: int
    sample_size: int = 32
    in_channels: int = 3
    out_channels: int = 3
    patch_size: int = 2
    num_embeds_ada_norm: int = 10
    norm_eps: float = 1e-5

    @property
    def width(self):
        return self.num_attention_heads * self.attention_head_dim

    @property
    def none(self):
        """The label of no class."""
        return self.num_embeds_ada_norm

    def json(self):
        return {"_class_name": "DiTTransformer2DModel", **asdict(self), "activation_fn": "gelu-approximate",
                "attention_bias": True, "dropout": 0.0, "norm_elementwise_affine": False, "norm_num_groups": 32,
                "norm_type": "ada_norm_zero", "upcast_attention": False}

    @classmethod
    def of(cls, fields):
        """From a config.json; fields of other values than ours are refused by name."""
        config = cls(**{name: fields[name] for name in cls.__dataclass_fields__ if name in fields})
        for name, value in config.json().items():
            if fields.get(name, value) != value:
                raise ValueError(f"config.json: {name} is {fields[name]!r}; this program knows {value!r}")
        return config


SIZES = {"tiny": Config(2, 32, 2), "small": Config(2, 64, 6), "base": Config(6, 64, 12)}


def position_table(width, rows, columns, base):
    """[rows*columns, width] float32: the column's sines and cosines first, then the row's (float64 until the end)."""
    omega = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def along(count):
        at = (torch.arange(count, dtype=torch.float32) / (count / base)).double()[:, None] * omega
        return torch.cat([at.sin(), at.cos()], 1)

    row, column = along(rows), along(columns)
    table = torch.cat([column[None].expand(rows, -1, -1), row[:, None].expand(-1, columns, -1)], 2)
    return table.reshape(rows * columns, width).float()


def sinusoid(t):
    """[B] -> [B, 256], cosines first; the last frequency is 1/10000 (diffusers' shift of 1, DiT only)."""
    half = SINUSOID // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / (half - 1))
    at = t.float()[:, None] * frequencies
    return torch.cat([at.cos(), at.sin()], 1)


class TimestepEmbedder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear_1 = nn.Linear(SINUSOID, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, t):
        return self.linear_2(F.silu(self.linear_1(sinusoid(t))))


class ClassEmbedder(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)


class Condition(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(config.width)
        self.class_embedder = ClassEmbedder(config.num_embeds_ada_norm, config.width)

    def forward(self, t, labels):
        return self.timestep_embedder(t) + self.class_embedder.embedding_table(labels)


class Modulation(nn.Module):
    def __init__(self, emb, width):
        super().__init__()
        self.emb = emb
        self.linear = nn.Linear(width, 6 * width)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        width = config.width
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x):
        def split(values):
            return values.unflatten(2, (self.heads, -1)).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(split(self.to_q(x)), split(self.to_k(x)), split(self.to_v(x)))
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class Widen(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x):
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.ModuleList([Widen(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class Block(nn.Module):
    def __init__(self, config, emb):
        super().__init__()
        self.norm1 = Modulation(emb, config.width)
        self.attn1 = Attention(config)
        self.ff = FeedForward(config.width)
        self.eps = config.norm_eps

    def forward(self, h, active):
        """active: [B, width], silu of the condition."""
        width = h.shape[2:]
        shift1, scale1, gate1, shift2, scale2, gate2 = self.norm1.linear(active)[:, None].chunk(6, 2)
        h = torch.addcmul(h, gate1, self.attn1(torch.addcmul(shift1, F.layer_norm(h, width, eps=1e-6), 1 + scale1)))
        return torch.addcmul(h, gate2, self.ff(torch.addcmul(shift2, F.layer_norm(h, width, eps=self.eps), 1 + scale2)))


class PatchEmbed(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.proj = nn.Conv2d(config.in_channels, config.width, config.patch_size, config.patch_size)


class DiT(nn.Module):
    """forward(x [B, 3, H, W] in [-1, 1], t [B], labels [B]) -> noise [B, 3, H, W]; H and W multiples of the patch.

    shared: one embedder for all blocks; otherwise each block and its own, for checkpoints whose copies differ.
    """

    def __init__(self, config, shared=True):
        super().__init__()
        self.config = config
        self.pos_embed = PatchEmbed(config)
        emb = Condition(config)
        self.transformer_blocks = nn.ModuleList(
            [Block(config, emb if shared else Condition(config)) for _ in range(config.num_layers)])
        self.proj_out_1 = nn.Linear(config.width, 2 * config.width)
        self.proj_out_2 = nn.Linear(config.width, config.patch_size**2 * config.out_channels)
        self.tables = {}

    @property
    def emb(self):
        return self.transformer_blocks[0].norm1.emb

    def table(self, rows, columns, device):
        key = rows, columns, str(device)
        if key not in self.tables:
            base = self.config.sample_size // self.config.patch_size
            self.tables[key] = position_table(self.config.width, rows, columns, base).to(device)
        return self.tables[key]

    def forward(self, x, t, labels):
        config, patch = self.config, self.config.patch_size
        rows, columns = x.shape[2] // patch, x.shape[3] // patch
        h = self.pos_embed.proj(x).flatten(2).transpose(1, 2) + self.table(rows, columns, x.device)
        first = active = F.silu(self.emb(t, labels))
        for block in self.transformer_blocks:
            if block.norm1.emb is not self.emb:
                active = F.silu(block.norm1.emb(t, labels))
            h = block(h, active)
        shift, scale = self.proj_out_1(first)[:, None].chunk(2, 2)
        h = self.proj_out_2(torch.addcmul(shift, F.layer_norm(h, (config.width,), eps=1e-6), 1 + scale))
        h = h.reshape(-1, rows, columns, patch, patch, config.out_channels)
        return h.permute(0, 5, 1, 3, 2, 4).reshape(-1, config.out_channels, rows * patch, columns * patch)

    @torch.no_grad()
    def initialize(self, generator):
        """Random weights from one stream of numbers. Gates and modulations are zero, so a fresh model passes its input on.

        The last linear undoes the first: noise is most of the input at most steps, so training starts from "all is noise".
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = math.sqrt(6 / sum(module.weight.shape))
                module.weight.copy_((torch.rand(module.weight.shape, generator=generator) * 2 - 1) * bound)
                module.bias.zero_()
        for linear in (self.emb.timestep_embedder.linear_1, self.emb.timestep_embedder.linear_2):
            linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) * 0.02)
        table = self.emb.class_embedder.embedding_table.weight
        table.copy_(torch.randn(table.shape, generator=generator) * 0.02)
        for block in self.transformer_blocks:
            block.norm1.linear.weight.zero_()
        self.proj_out_1.weight.zero_()
        first = self.pos_embed.proj
        basis = torch.linalg.qr(torch.randn(self.config.width, first.weight[0].numel(), generator=generator))[0]
        first.weight.copy_(basis.view(first.weight.shape))
        first.bias.zero_()
        if self.config.in_channels == self.config.out_channels:
            # The convolution reads (channel, row, column) of a patch, the output is written as (row, column, channel).
            last = first.weight.permute(2, 3, 1, 0).reshape(self.proj_out_2.weight.shape)
            self.proj_out_2.weight.copy_(0.8 * last)
        return self


def alpha_bars():
    """[1000] float32: products of 1 - beta, betas linear from 0.0001 to 0.02, in float32 as diffusers computes them."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, TRAIN_STEPS, dtype=torch.float32), 0)


@torch.no_grad()
def ddim(model, noise, labels, steps=50, guidance=1.5):
    """Images [B, 3, H, W] from noise by DDIM (eta 0, leading steps, last step to alpha 1) with classifier-free guidance."""
    bars = alpha_bars()
    x, stride = noise, TRAIN_STEPS // steps
    none = torch.full_like(labels, model.config.none)
    for t in range(stride * (steps - 1), -1, -stride):
        now, before = bars[t].item(), bars[t - stride].item() if t >= stride else 1.0
        if guidance == 1:
            eps = model(x, torch.full_like(labels, t), labels)
        else:
            both = model(torch.cat([x, x]), torch.full_like(none, t).repeat(2), torch.cat([labels, none]))
            with_class, without = both.chunk(2)
            eps = without + guidance * (with_class - without)
        clean = (x - math.sqrt(1 - now) * eps) / math.sqrt(now)
        x = math.sqrt(before) * clean + math.sqrt(1 - before) * eps
    return x
