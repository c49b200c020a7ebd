#!/usr/bin/env python3
"""Writes a random checkpoint: of a Llama (config.json, tokenizer.json and sharded bf16 safetensors with an index), or of
a diffusion transformer in the layout of diffusers (model_index.json, transformer/).

For measuring memory and time on models whose weights are not at hand. Every tensor comes from its own stream, seeded
by its name, so that the same options give the same bytes; eight million values at most are in memory at a time.

  scripts/make_checkpoint.py --shape llama-3-8b --out big          # 16 GB; delete it afterwards
  scripts/make_checkpoint.py --shape llama-3-8b --layers 1 --out one-layer
  scripts/make_checkpoint.py --shape tiny --out tiny --shard-gb 0.0002
  scripts/make_checkpoint.py --shape pixart-sigma-1024 --layers 2 --out pixart
"""
import argparse
import hashlib
import json
import math
import shutil
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import diffusion_shapes

CHUNK = 8 << 20  # values drawn at a time


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    theta: float
    context: int


SHAPES = {
    "llama-3-8b": Shape(128256, 4096, 14336, 32, 32, 8, 128, False, 500000.0, 8192),
    "tiny": Shape(320, 64, 176, 3, 4, 2, 16, False, 10000.0, 512),
}


def tensors(shape):
    """(name, dimensions, standard deviation, mean) in the order in which they are written."""
    h, f = shape.hidden, shape.feed_forward
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    # Products keep the size of their input; what is added to the residual stream is smaller the more is added.
    reads, adds = 1 / math.sqrt(h), 1 / math.sqrt(2 * shape.layers)
    yield "model.embed_tokens.weight", (shape.vocabulary, h), 1.0, 0.0
    for i in range(shape.layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (h,), 0.1, 1.0
        yield p + "self_attn.q_proj.weight", (q, h), reads, 0.0
        yield p + "self_attn.k_proj.weight", (kv, h), reads, 0.0
        yield p + "self_attn.v_proj.weight", (kv, h), reads, 0.0
        yield p + "self_attn.o_proj.weight", (h, q), adds / math.sqrt(q), 0.0
        yield p + "post_attention_layernorm.weight", (h,), 0.1, 1.0
        yield p + "mlp.gate_proj.weight", (f, h), reads, 0.0
        yield p + "mlp.up_proj.weight", (f, h), reads, 0.0
        yield p + "mlp.down_proj.weight", (h, f), adds / math.sqrt(f), 0.0
    yield "model.norm.weight", (h,), 0.1, 1.0
    if not shape.tied:
        yield "lm_head.weight", (shape.vocabulary, h), reads, 0.0


def bf16_bytes(values):
    """float32 to bfloat16, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_tensor(out, name, dimensions, deviation, mean, seed):
    key = hashlib.sha256(f"{seed}\n{name}".encode()).digest()
    stream = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))
    left = math.prod(dimensions)
    while left > 0:
        values = stream.standard_normal(min(left, CHUNK), dtype=np.float32)
        values *= np.float32(deviation)
        values += np.float32(mean)
        out.write(bf16_bytes(values))
        left -= len(values)


def into_shards(entries, limit):
    """Consecutive tensors, at most `limit` bytes a shard; a tensor larger than that stands alone."""
    shards, size = [[]], 0
    for entry in entries:
        bytes_ = 2 * math.prod(entry[1])
        if shards[-1] and size + bytes_ > limit:
            shards.append([])
            size = 0
        shards[-1].append(entry)
        size += bytes_
    return shards


def write_shard(path, entries, seed):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dimensions, _, _ in entries:
        end = offset + 2 * math.prod(dimensions)
        header[name] = {"dtype": "BF16", "shape": list(dimensions), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for entry in entries:
            write_tensor(out, *entry, seed)


def byte_characters():
    """GPT-2's printable character for every byte, as in the tokenizers library's ByteLevel."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


def tokenizer(bos):
    vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": bos, "content": "<|begin_of_text|>", "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [bos], "tokens": ["<|begin_of_text|>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": []},
    }


def config(shape, bos):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.theta,
        "hidden_act": "silu",
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": bos,
        "torch_dtype": "bfloat16",
    }


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "custom", *diffusion_shapes.CONFIGS], required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must not exist, or be empty")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-gb", type=float, default=4.0, help="largest shard in GB (10^9 bytes)")
    sizes = parser.add_argument_group("sizes", "replace the shape's own; custom starts from tiny")
    for name in ("vocabulary", "hidden", "feed-forward", "layers", "heads", "kv-heads", "head-dim"):
        sizes.add_argument(f"--{name}", type=int)
    sizes.add_argument("--tied", action="store_true", help="no lm_head of its own")
    options = parser.parse_args(argv)
    if options.shard_gb <= 0:
        parser.error(f"--shard-gb: {options.shard_gb}; above 0")
    if options.shape in diffusion_shapes.CONFIGS:
        return options, diffusion_config(parser, options)
    shape = SHAPES.get(options.shape, SHAPES["tiny"])
    for name in ("vocabulary", "hidden", "feed_forward", "layers", "heads", "kv_heads", "head_dim"):
        value = getattr(options, name)
        if value is None:
            continue
        if value < 1:
            parser.error(f"--{name.replace('_', '-')}: {value}; at least 1")
        shape = replace(shape, **{name: value})
    shape = replace(shape, tied=options.tied or shape.tied)
    if shape.heads % shape.kv_heads:
        parser.error(f"--heads ({shape.heads}) must be a multiple of --kv-heads ({shape.kv_heads})")
    if shape.head_dim % 2:
        parser.error(f"--head-dim: {shape.head_dim}; an even number")
    if shape.vocabulary < 257:
        parser.error(f"--vocabulary: {shape.vocabulary}; at least 257, the bytes and <|begin_of_text|>")
    return options, shape


def diffusion_config(parser, options):
    for name in ("vocabulary", "hidden", "feed_forward", "kv_heads"):
        if getattr(options, name) is not None:
            parser.error(f"--{name.replace('_', '-')}: not a size of {options.shape}; --layers, --heads and --head-dim are")
    if options.tied:
        parser.error(f"--tied: {options.shape} has no lm_head")
    for name in ("layers", "heads", "head_dim"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: {value}; at least 1")
    config = diffusion_shapes.sized(
        diffusion_shapes.CONFIGS[options.shape], options.layers, options.heads, options.head_dim)
    if config["num_attention_heads"] * config["attention_head_dim"] % 4:
        parser.error("--heads times --head-dim must be a multiple of 4")
    return config


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_weights(folder, stem, entries, shard_gb, seed):
    """Shards with their index; a diffusers component that fits into one file is that file. Returns their number."""
    shards = into_shards(entries, shard_gb * 1e9)
    alone = len(shards) == 1 and stem.startswith("diffusion")
    weight_map = {}
    for i, shard in enumerate(shards):
        name = f"{stem}.safetensors" if alone else f"{stem}-{i + 1:05}-of-{len(shards):05}.safetensors"
        write_shard(folder / name, shard, seed)
        weight_map.update({entry[0]: name for entry in shard})
        print(f"{name}: {len(shard)} tensors", file=sys.stderr, flush=True)
    if not alone:
        total = sum(2 * math.prod(e[1]) for e in entries)
        write_json(folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    return len(shards)


def main(argv=None):
    options, shape = parse(argv)
    out = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        sys.exit(f"{out}: is there already; name a folder that does not exist")
    diffusion = isinstance(shape, dict)
    entries = list(diffusion_shapes.tensors(shape) if diffusion else tensors(shape))
    total = sum(2 * math.prod(e[1]) for e in entries)
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < total + (64 << 20):
        sys.exit(f"{out}: needs {total / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free")
    if diffusion:
        write_json(out / "model_index.json", diffusion_shapes.model_index(shape))
        folder, stem = out / "transformer", "diffusion_pytorch_model"
        folder.mkdir()
        write_json(folder / "config.json", shape)
    else:
        bos = 256
        folder, stem = out, "model"
        write_json(out / "config.json", config(shape, bos))
        (out / "tokenizer.json").write_text(json.dumps(tokenizer(bos)) + "\n")
    files = write_weights(folder, stem, entries, options.shard_gb, options.seed)
    print(f"{out}: {sum(math.prod(e[1]) for e in entries):,} parameters, {total / 1e9:.2f} GB in {files} files")


if __name__ == "__main__":
    main()
