"""Shapes of diffusion transformers for make_checkpoint.py: configurations as diffusers writes them, and their tensors."""
import math

_TIME = 256  # channels of an embedded timestep

CONFIGS = {
    "pixart-sigma-1024": {
        "_class_name": "PixArtTransformer2DModel",
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_head_dim": 72,
        "caption_channels": 4096,
        "cross_attention_dim": 1152,
        "in_channels": 4,
        "interpolation_scale": 2,
        "norm_elementwise_affine": False,
        "norm_eps": 1e-6,
        "norm_type": "ada_norm_single",
        "num_attention_heads": 16,
        "num_embeds_ada_norm": 1000,
        "num_layers": 28,
        "out_channels": 8,
        "patch_size": 2,
        "sample_size": 128,
        "use_additional_conditions": False,
    },
    "sana-1600m": {
        "_class_name": "SanaTransformer2DModel",
        "attention_bias": False,
        "attention_head_dim": 32,
        "caption_channels": 2304,
        "cross_attention_dim": 2240,
        "cross_attention_head_dim": 112,
        "in_channels": 32,
        "interpolation_scale": None,
        "mlp_ratio": 2.5,
        "norm_elementwise_affine": False,
        "norm_eps": 1e-6,
        "num_attention_heads": 70,
        "num_cross_attention_heads": 20,
        "num_layers": 20,
        "out_channels": 32,
        "patch_size": 1,
        "sample_size": 32,
    },
    "dit-xl": {
        "_class_name": "DiTTransformer2DModel",
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_head_dim": 72,
        "in_channels": 4,
        "norm_elementwise_affine": False,
        "norm_eps": 1e-5,
        "norm_type": "ada_norm_zero",
        "num_attention_heads": 16,
        "num_embeds_ada_norm": 1000,
        "num_layers": 28,
        "out_channels": 8,
        "patch_size": 2,
        "sample_size": 32,
    },
}
_PIPELINES = {
    "PixArtTransformer2DModel": "PixArtSigmaPipeline",
    "SanaTransformer2DModel": "SanaPipeline",
    "DiTTransformer2DModel": "DiTPipeline",
}


def sized(config, layers=None, heads=None, head_dim=None):
    """The configuration with other sizes; cross-attention stays as wide as self-attention."""
    out = dict(config)
    out["num_layers"] = layers or out["num_layers"]
    out["num_attention_heads"] = heads or out["num_attention_heads"]
    out["attention_head_dim"] = head_dim or out["attention_head_dim"]
    if "cross_attention_dim" in out:
        out["cross_attention_dim"] = out["num_attention_heads"] * out["attention_head_dim"]
    if "num_cross_attention_heads" in out and (heads or head_dim):
        out["num_cross_attention_heads"] = out["num_attention_heads"]
        out["cross_attention_head_dim"] = out["attention_head_dim"]
    return out


def model_index(config):
    return {"_class_name": _PIPELINES[config["_class_name"]], "transformer": ["diffusers", config["_class_name"]]}


def tensors(config):
    """(name, dimensions, standard deviation, mean) in the order in which they are written."""
    kind = config["_class_name"]
    dit, sana = kind.startswith("DiT"), kind.startswith("Sana")
    d = config["num_attention_heads"] * config["attention_head_dim"]
    patch, channels = config["patch_size"], config["in_channels"]
    # Products keep the size of their input; what is added to the residual stream is smaller the more is added.
    adds = 1 / math.sqrt(3 * config["num_layers"])

    def linear(stem, out, in_, bias=True, scale=1.0):
        yield f"{stem}.weight", (out, in_), scale / math.sqrt(in_), 0.0
        if bias:
            yield f"{stem}.bias", (out,), 0.02, 0.0

    def embedder(stem, width=d):
        yield from linear(f"{stem}.linear_1", width, _TIME)
        yield from linear(f"{stem}.linear_2", width, width)

    def attention(p, inner, bias):
        for name in ("to_q", "to_k", "to_v"):
            yield from linear(p + name, inner, d, bias)
        yield from linear(p + "to_out.0", d, inner, True, adds)

    stem = "patch_embed.proj" if sana else "pos_embed.proj"
    yield f"{stem}.weight", (d, channels, patch, patch), 1 / math.sqrt(channels * patch * patch), 0.0
    yield f"{stem}.bias", (d,), 0.02, 0.0
    if not dit:
        time = "time_embed" if sana else "adaln_single"
        yield from embedder(f"{time}.emb.timestep_embedder")
        yield from linear(f"{time}.linear", 6 * d, d, True, 0.3)
        yield from linear("caption_projection.linear_1", d, config["caption_channels"])
        yield from linear("caption_projection.linear_2", d, d)
    if sana:
        yield "caption_norm.weight", (d,), 0.1, 1.0
    for i in range(config["num_layers"]):
        p = f"transformer_blocks.{i}."
        if dit:
            yield from embedder(p + "norm1.emb.timestep_embedder")
            yield p + "norm1.emb.class_embedder.embedding_table.weight", (config["num_embeds_ada_norm"] + 1, d), 0.5, 0.0
            yield from linear(p + "norm1.linear", 6 * d, d, True, 0.3)
        else:
            yield p + "scale_shift_table", (6, d), 0.3, 0.0
        yield from attention(p + "attn1.", d, config["attention_bias"])
        if sana:
            cross = config["num_cross_attention_heads"] * config["cross_attention_head_dim"]
            yield from attention(p + "attn2.", cross, True)
            inner = int(config["mlp_ratio"] * d)
            yield p + "ff.conv_inverted.weight", (2 * inner, d, 1, 1), 1 / math.sqrt(d), 0.0
            yield p + "ff.conv_inverted.bias", (2 * inner,), 0.02, 0.0
            yield p + "ff.conv_depth.weight", (2 * inner, 1, 3, 3), 1 / 3, 0.0
            yield p + "ff.conv_depth.bias", (2 * inner,), 0.02, 0.0
            yield p + "ff.conv_point.weight", (d, inner, 1, 1), adds / math.sqrt(inner), 0.0
        else:
            if not dit:
                yield from attention(p + "attn2.", d, config["attention_bias"])
            yield from linear(p + "ff.net.0.proj", 4 * d, d)
            yield from linear(p + "ff.net.2", d, 4 * d, True, adds)
    pixels = patch * patch * config["out_channels"]
    if dit:
        yield from linear("proj_out_1", 2 * d, d, True, 0.3)
        yield from linear("proj_out_2", pixels, d)
    else:
        yield "scale_shift_table", (2, d), 0.3, 0.0
        yield from linear("proj_out", pixels, d)
