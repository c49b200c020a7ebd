#!/usr/bin/env python3
"""Makes the folder that the metric `image_reward` reads, of three files that others publish.

    scripts/image_reward_weights.py --model ImageReward.pt --config med_config.json --vocabulary vocab.txt --output image_reward

Needs torch; the one that scripts/setup.sh installs will do (.venv/bin/python).
"""
import argparse
import json
import pathlib
import pickle
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

VISION, TEXT = "blip.visual_encoder.", "blip.text_encoder."
HEAD = [f"mlp.layers.{place}" for place in (0, 2, 4, 6, 7)]
ADDED = ("[DEC]", "[ENC]")  # what BLIP adds to bert-base-uncased

DESCRIPTION = """Makes the folder that the metric `image_reward` reads: model.safetensors with the tensors of ImageReward.pt that a reward needs, and copies
of the other two files. Their shapes are checked, so that a wrong file is found here and not in an experiment."""
EPILOG = """where the files come from:
  --model, --config   the repository of the model's authors on Hugging Face, THUDM/ImageReward (1.8 GB); the image-reward package keeps both in
                      ~/.cache/ImageReward once it has loaded its model
  --vocabulary        bert-base-uncased on Hugging Face, google-bert/bert-base-uncased, 30,522 lines

what to do with the result (1.8 GB):
  export STAMP_IMAGE_REWARD=/folder/of/it      or in an experiment file:  images: {image_reward: /folder/of/it}
  evaluate: [image_sqnr, image_reward]
"""


class Unusable(Exception):
    pass


def read_text(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Unusable(f"{path}: is not UTF-8 text") from error
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error


def read_config(path):
    try:
        config = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise Unusable(f"{path}:{error.lineno}:{error.colno}: no JSON ({error.msg})") from error
    if not isinstance(config, dict) or not config.get("add_cross_attention"):
        raise Unusable(f"{path}: add_cross_attention is not true; wanted: med_config.json of THUDM/ImageReward")
    for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings", "vocab_size"):
        if not isinstance(config.get(key), int):
            raise Unusable(f"{path}: {key} is {config.get(key)!r}, wanted: an integer, as med_config.json of THUDM/ImageReward has it")
    return config


def check_vocabulary(path, config):
    lines = read_text(path).removesuffix("\n").split("\n")  # some tokens may be what splitlines() takes for line ends
    missing = [token for token in ("[UNK]", "[CLS]", "[SEP]") if token not in lines]
    if missing:
        raise Unusable(f"{path}: has no line {missing[0]}; wanted: vocab.txt of bert-base-uncased")
    count = len(lines) + sum(token not in lines for token in ADDED)
    if count != config["vocab_size"]:
        raise Unusable(f"{path}: {count:,} tokens with {' and '.join(ADDED)}, but vocab_size of the configuration is {config['vocab_size']:,}; "
                       "wanted: vocab.txt of bert-base-uncased")


def read_state(path):
    """The state_dict that torch.save wrote. Code in it is not run."""
    import torch

    if not path.is_file():
        raise Unusable(f"{path}: no such file")
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # an older format, which cannot be mapped
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unusable(f"{path}: no file of tensors that torch.save wrote ({reason})") from error
    if not isinstance(state, dict):
        raise Unusable(f"{path}: holds {type(state).__name__}, wanted: a state_dict, which has names and tensors")
    return state


def shape_of(state, path, name, dimensions):
    tensor = state.get(name)
    if not hasattr(tensor, "dim"):
        some = ", ".join(sorted(map(str, state))[:4])
        raise Unusable(f'{path}: has no tensor "{name}" among its {len(state)} ({some}, ...); wanted: ImageReward.pt')
    if tensor.dim() != dimensions:
        raise Unusable(f"{path}: {name} has shape {list(tensor.shape)}, expected {dimensions} dimensions")
    return tuple(tensor.shape)


def wanted_shapes(state, path, config):
    """{name: shape} of every tensor that a reward needs. The text encoder's sizes are the configuration's, all others those of the tensors."""
    width, _, patch, _ = shape_of(state, path, VISION + "patch_embed.proj.weight", 4)
    tokens = shape_of(state, path, VISION + "pos_embed", 3)[1]
    inner = shape_of(state, path, VISION + "blocks.0.mlp.fc1.weight", 2)[0]
    blocks = 1 + max(int(found[1]) for name in state if (found := re.match(re.escape(VISION) + r"blocks\.(\d+)\.", str(name))))
    out = {VISION + "cls_token": (1, 1, width), VISION + "pos_embed": (1, tokens, width)}

    def affine(name, *shape):
        out[name + ".weight"], out[name + ".bias"] = shape, shape[:1]

    def norm(name, size):
        out[name + ".weight"] = out[name + ".bias"] = (size,)

    affine(VISION + "patch_embed.proj", width, 3, patch, patch)
    for name in (f"{VISION}blocks.{i}." for i in range(blocks)):
        norm(name + "norm1", width)
        affine(name + "attn.qkv", 3 * width, width)
        affine(name + "attn.proj", width, width)
        norm(name + "norm2", width)
        affine(name + "mlp.fc1", inner, width)
        affine(name + "mlp.fc2", width, inner)
    norm(VISION + "norm", width)

    size, inner = config["hidden_size"], config["intermediate_size"]
    out[TEXT + "embeddings.word_embeddings.weight"] = (config["vocab_size"], size)
    out[TEXT + "embeddings.position_embeddings.weight"] = (config["max_position_embeddings"], size)
    norm(TEXT + "embeddings.LayerNorm", size)
    for name in (f"{TEXT}encoder.layer.{i}." for i in range(config["num_hidden_layers"])):
        for part, keys in (("attention", size), ("crossattention", width)):
            affine(f"{name}{part}.self.query", size, size)
            affine(f"{name}{part}.self.key", size, keys)
            affine(f"{name}{part}.self.value", size, keys)
            affine(f"{name}{part}.output.dense", size, size)
            norm(f"{name}{part}.output.LayerNorm", size)
        affine(name + "intermediate.dense", inner, size)
        affine(name + "output.dense", size, inner)
        norm(name + "output.LayerNorm", size)

    before = size
    for name in HEAD:
        after = shape_of(state, path, name + ".weight", 2)[0]
        affine(name, after, before)
        before = after
    if before != 1:
        raise Unusable(f"{path}: {HEAD[-1]}.weight has {before} rows, expected one: a reward is a single number")
    return out


def taken(state, path, shapes):
    import torch

    out = {}
    for name, shape in shapes.items():
        if shape_of(state, path, name, len(shape)) != shape:
            raise Unusable(f"{path}: {name} has shape {list(state[name].shape)}, expected {list(shape)}")
        tensor = state[name]
        out[name] = tensor if tensor.dtype in (torch.float32, torch.float16, torch.bfloat16) else tensor.float()
    return out


def main():
    parser = argparse.ArgumentParser(description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, metavar="FILE", help="ImageReward.pt")
    parser.add_argument("--config", type=pathlib.Path, required=True, metavar="FILE", help="med_config.json, which lies beside it")
    parser.add_argument("--vocabulary", type=pathlib.Path, required=True, metavar="FILE", help="vocab.txt of bert-base-uncased")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("image_reward"), metavar="FOLDER", help="default: image_reward")
    options = parser.parse_args()
    try:
        from dit.checkpoint import write_safetensors
    except ImportError as error:
        sys.exit(f"image_reward_weights.py: {error}: run it with a Python that has torch, such as .venv/bin/python after scripts/setup.sh")
    try:
        config = read_config(options.config)
        check_vocabulary(options.vocabulary, config)
        state = read_state(options.model)
        tensors = taken(state, options.model, wanted_shapes(state, options.model, config))
        options.output.mkdir(parents=True, exist_ok=True)
        write_safetensors(options.output / "model.safetensors", tensors)
        for source, name in ((options.config, "med_config.json"), (options.vocabulary, "vocab.txt")):
            (options.output / name).write_bytes(source.read_bytes())
    except Unusable as error:
        sys.exit(f"image_reward_weights.py: {error}")
    except OSError as error:
        sys.exit(f"image_reward_weights.py: {error.filename or options.output}: {error.strerror}")
    print(f"{options.output}: {len(tensors)} tensors of {len(state)}, {(options.output / 'model.safetensors').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
