"""Text encoders of image models: tiny random T5 encoders and CLIP models of transformers.

--write  writes tests/golden/t5_encoder_tiny.safetensors and clip_tiny.safetensors; the unit tests hold ours to them.
"""
import json
import os
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, T5Config, T5EncoderModel

import common
from images import pattern

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden")
END = 96


def randomise(model, seed):
    """Nothing stays at a neutral value: a norm or a bias that is left out must show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.15
            if name.endswith("weight") and ("norm" in name or "layrnorm" in name):
                noise += 1
            if "embed" in name or "shared" in name or name.endswith("relative_attention_bias.weight"):
                noise *= 5
            parameter.copy_(noise)
    return model.eval()


def t5():
    config = T5Config(vocab_size=97, d_model=24, d_kv=8, num_heads=5, d_ff=40, num_layers=3, feed_forward_proj="gated-gelu",
                      relative_attention_num_buckets=16, relative_attention_max_distance=30, dropout_rate=0.0)
    model = randomise(T5EncoderModel(config), 3)
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(3, 97, (2, 60), generator=generator)
    mask = torch.ones_like(ids)
    ids[1, 23:], mask[1, 23:] = 0, 0
    ids[0, 59], ids[1, 22] = 1, 1
    with torch.inference_mode():
        out = model(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = {k: v for k, v in model.state_dict().items() if k != "encoder.embed_tokens.weight"}
    return config, weights, {"in.ids": ids, "in.mask": mask, "out.last_hidden_state": out}


def clip(act, end):
    tower = {"hidden_act": act}
    config = CLIPConfig(text_config={"vocab_size": 99, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3,
                                     "max_position_embeddings": 13, "eos_token_id": end, "bos_token_id": 95, "pad_token_id": 1, **tower},
                        vision_config={"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 16,
                                       "patch_size": 4, **tower}, projection_dim=20)
    model = randomise(CLIPModel(config), 5)
    generator = torch.Generator().manual_seed(6)
    ids = torch.randint(3, 95, (3, 13), generator=generator)
    ids[0, 12], ids[1, 5], ids[2, 8] = END, END, END
    ids[1, 6:], ids[2, 9:] = END, 1
    images = [pattern(20, 31, 1), pattern(40, 17, 2), pattern(16, 16, 3)]
    pixels = torch.stack([preprocessed(image, 16) for image in images])
    with torch.inference_mode():
        out = model(input_ids=ids, pixel_values=pixels)
    return config, model.state_dict(), {"in.ids": ids, "in.pixels": pixels, "out.text": out.text_embeds, "out.image": out.image_embeds}


def preprocessed(image, side):
    """As CLIP's own image processor does it with PIL."""
    processor = transformers.CLIPImageProcessorPil if hasattr(transformers, "CLIPImageProcessorPil") else transformers.CLIPImageProcessor
    made = processor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return torch.as_tensor(np.asarray(made(images=Image.fromarray(image), return_tensors="np")["pixel_values"]))[0]


def results():
    out = {}
    config, weights, checks = t5()
    out["t5_encoder_tiny"] = (config, {**weights, **checks})
    config, weights, checks = clip("quick_gelu", END)
    other = clip("gelu", 2)[2]  # the same weights and ids, the other activation, and the largest id as the end
    out["clip_tiny"] = (config, {**{k: v for k, v in weights.items() if not k.endswith("position_ids")}, **checks,
                                 "out.gelu.text": other["out.text"], "out.gelu.image": other["out.image"]})
    return out


def main():
    made = results()
    if sys.argv[1:] == ["--write"]:
        for name, (config, tensors) in made.items():
            path = os.path.join(GOLDEN, name + ".safetensors")
            save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"config": json.dumps(config.to_dict()), "oracle": f"transformers {transformers.__version__}"})
            print(path, os.path.getsize(path))
        return
    checks = common.Checks("Text encoders: transformers of today against what the unit tests hold ours to")
    for name, (_, tensors) in made.items():
        kept = load_file(os.path.join(GOLDEN, name + ".safetensors"))
        for key in tensors:
            if key.startswith("out."):
                gap = (tensors[key] - kept[key]).abs().max().item()
                checks.check(f"{name} {key}", gap <= 1e-5 * kept[key].abs().max().item(), f"largest difference {gap:.1e}")
    checks.finish()


if __name__ == "__main__":
    main()
