"""Image autoencoders: ours against diffusers' AutoencoderKL and AutoencoderDC on tiny random models of several shapes, from
folders as diffusers writes them, in whole maps and in bands of rows.

    .venv-reference/bin/python scripts/reference/autoencoders.py [--full PIXELS] [--write FOLDER]

Tolerance: 1e-5 of the largest value (specification models 17.4); 1e-6 is usual. diffusers also runs every model with one of its
features changed: that has to move the result by far more, otherwise the comparison would show nothing. --full decodes and
encodes one square image with the published sizes and random weights instead, and tells time and memory. --write keeps the
models.
"""
import argparse
import json
import os
import subprocess
import tempfile

import diffusers
import safetensors.torch
import torch

import common



def kl_blocks(stages):
    return {"down_block_types": ["DownEncoderBlock2D"] * stages, "up_block_types": ["UpDecoderBlock2D"] * stages}


KL = "AutoencoderKL"
DC = "AutoencoderDC"
SD = kl_blocks(4) | {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "scaling_factor": 0.13025}
SANA_TYPES = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
SANA = {"encoder_block_types": SANA_TYPES, "decoder_block_types": SANA_TYPES, "downsample_block_type": "conv",
        "upsample_block_type": "interpolate", "scaling_factor": 0.41407}
DC_SMALL = {"latent_channels": 8, "attention_head_dim": 8,
            "encoder_block_out_channels": [8, 8, 16, 32], "decoder_block_out_channels": [8, 16, 16, 32],
            "encoder_block_types": ["ResBlock", "ResBlock", "EfficientViTBlock", "EfficientViTBlock"],
            "decoder_block_types": ["ResBlock", "EfficientViTBlock", "ResBlock", "EfficientViTBlock"],
            "encoder_layers_per_block": [1, 2, 1, 1], "decoder_layers_per_block": [3, 1, 2, 1],
            "encoder_qkv_multiscales": [[], [], [3, 5], []], "decoder_qkv_multiscales": [[], [7], [], [5]]}
# name, class, configuration, pixels of the code, a change that has to show
MODELS = [
    ("four stages", KL, kl_blocks(4) | {"block_out_channels": [4, 8, 12, 16], "layers_per_block": 2, "norm_num_groups": 4,
                                        "latent_channels": 5, "scaling_factor": 0.3, "shift_factor": 0.1}, (5, 3), None),
    ("one stage", KL, {"block_out_channels": [12], "norm_num_groups": 3}, (7, 10), None),
    ("two stages, no convolutions around the code", KL, kl_blocks(2) | {
        "block_out_channels": [6, 9], "norm_num_groups": 3, "layers_per_block": 3, "latent_channels": 2, "use_quant_conv": False,
        "use_post_quant_conv": False}, (8, 5), None),
    ("three stages, no attention", KL, kl_blocks(3) | {"block_out_channels": [8, 8, 16], "norm_num_groups": 2,
                                                      "mid_block_add_attention": False}, (4, 6), None),
    ("groups", KL, kl_blocks(2) | {"block_out_channels": [8, 16], "norm_num_groups": 4}, (6, 7), {"norm_num_groups": 8}),
    ("attention in the middle", KL, kl_blocks(2) | {"block_out_channels": [8, 16], "norm_num_groups": 4}, (3, 9),
     {"mid_block_add_attention": False}),
    ("four stages, convolution and shuffle", DC, DC_SMALL | {"downsample_block_type": "conv", "upsample_block_type": "pixel_shuffle"}, (3, 5), None),
    ("four stages, unshuffle and repeat", DC, DC_SMALL | {"downsample_block_type": "pixel_unshuffle", "upsample_block_type": "interpolate"}, (4, 3), None),
    ("few pixels, attention by scores", DC, DC_SMALL, (2, 1), None),
    ("attention by sums", DC, DC_SMALL, (5, 4), None),
    ("no shortcuts at the ends", DC, DC_SMALL | {"encoder_out_shortcut": False, "decoder_in_shortcut": False}, (2, 6),
     {"encoder_out_shortcut": True, "decoder_in_shortcut": True}),
    ("attention everywhere", DC, {
        "latent_channels": 4, "attention_head_dim": 4, "encoder_block_types": "EfficientViTBlock", "decoder_block_types": "EfficientViTBlock",
        "encoder_block_out_channels": [4, 16], "decoder_block_out_channels": [8, 32], "encoder_layers_per_block": [1, 2],
        "decoder_layers_per_block": [2, 1], "encoder_qkv_multiscales": [[5], [3]], "decoder_qkv_multiscales": [[3], [5]]}, (6, 5), None),
    ("residual blocks everywhere, one stage", DC, {
        "latent_channels": 6, "encoder_block_out_channels": [12], "decoder_block_out_channels": [18], "encoder_layers_per_block": [2],
        "decoder_layers_per_block": [1], "encoder_qkv_multiscales": [[]], "decoder_qkv_multiscales": [[]]}, (5, 8), None),
]


def make(kind, config, seed):
    """A random model. Nothing stays at a neutral value: a norm or a bias that is left out must show."""
    model = getattr(diffusers, kind)(**config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_((1 if "norm" in name and name.endswith("weight") else 0) + 0.15 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return model.eval()


def like(kind, config, model):
    """The same weights under another configuration; tensors that it has not are left out."""
    other = getattr(diffusers, kind)(**config)
    other.load_state_dict(model.state_dict(), strict=False)
    return other.eval()


@torch.inference_mode()
def theirs(kind, model, code, image):
    encoded = model.encode(image)
    return model.decode(code).sample, encoded.latent_dist.mode() if kind == KL else encoded.latent


def ours(folder, code, image, band):
    inputs, out = os.path.join(folder, "inputs.safetensors"), os.path.join(folder, "out")
    safetensors.torch.save_file({"z": code, "x": image}, inputs)
    run = subprocess.run([common.program("autoencoder_dump"), folder, inputs, out] + ([str(band)] if band else []), capture_output=True, text=True)
    if run.returncode:
        return None, None, run.stderr.strip()
    read = [torch.frombuffer(bytearray(open(f"{out}.{part}", "rb").read()), dtype=torch.float32) for part in ("decode", "encode")]
    return json.loads(run.stdout), read, ""


def gap(mine, reference):
    difference = (mine.reshape(-1).double() - reference.reshape(-1).double()).abs().max().item()
    return difference / reference.abs().max().item()


def compare(checks, folder, name, kind, config, size, change, seed):
    model = make(kind, config, seed)
    model.save_pretrained(folder)
    generator = torch.Generator().manual_seed(seed)
    latent, scale = model.config.latent_channels, 2 ** (len(config.get("block_out_channels", config.get("encoder_block_out_channels"))) - 1)
    code = torch.randn(2, latent, *size, generator=generator)
    image = torch.rand(2, 3, size[0] * scale, size[1] * scale, generator=generator) * 2 - 1
    decoded, encoded = theirs(kind, model, code, image)
    for band in (0, 500):
        said, read, error = ours(folder, code, image, band)
        label = f"{kind}, {name}" + (", in bands" if band else "")
        if said is None:
            checks.check(label, False, error)
            continue
        good = (said["scale"] == scale and said["latent_channels"] == latent and said["parameters"] == sum(p.numel() for p in model.parameters())
                and said["scaling_factor"] == model.config.scaling_factor and said["shift"] == (model.config.get("shift_factor") or 0))
        gaps = gap(read[0], decoded), gap(read[1], encoded)
        checks.check(label, good and max(gaps) < 1e-5, f"decoded {gaps[0]:.1g}, encoded {gaps[1]:.1g}, {said['parameters']} parameters")
    if change:
        other = theirs(kind, like(kind, config | change, model), code, image)
        moved = max(gap(other[0], decoded), gap(other[1], encoded))
        checks.check(f"{kind}, {name}: {change} shows", moved > 1e-3, f"moves the result by {moved:.2g}")


def counts(checks):
    for kind, config, expected in ((KL, SD, 83653863), (DC, SANA, 312250275)):
        with torch.device("meta"):
            count = sum(p.numel() for p in getattr(diffusers, kind)(**config).parameters())
        checks.check(f"{kind} of the published size has {expected} parameters", count == expected, str(count))


def full(checks, folder, pixels):
    for kind, config, scale in ((KL, SD, 8), (DC, SANA, 32)):
        model = make(kind, config, 1)
        place = os.path.join(folder, kind)
        model.save_pretrained(place)
        generator = torch.Generator().manual_seed(1)
        code = torch.randn(1, model.config.latent_channels, pixels // scale, pixels // scale, generator=generator)
        image = torch.rand(1, 3, pixels, pixels, generator=generator) * 2 - 1
        decoded, encoded = theirs(kind, model, code, image)
        del model
        said, read, error = ours(place, code, image, 0)
        label = f"{kind}, published size, {pixels} pixels"
        if said is None:
            checks.check(label, False, error)
            continue
        gaps = gap(read[0], decoded), gap(read[1], encoded)
        checks.check(label, max(gaps) < 1e-5, f"decoded {gaps[0]:.1g} in {said['decode_seconds']:.1f} s, encoded {gaps[1]:.1g} in "
                     f"{said['encode_seconds']:.1f} s, peak {said['decode_peak_gb']:.2f} and {said['encode_peak_gb']:.2f} GB")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--full", type=int, metavar="PIXELS", help="published sizes with random weights")
    arguments.add_argument("--write", metavar="FOLDER", help="keep the models there")
    options = arguments.parse_args()
    checks = common.Checks(f"autoencoders: ours against diffusers {diffusers.__version__}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.write or temporary
        if options.full:
            full(checks, folder, options.full)
        else:
            counts(checks)
            for i, (name, kind, config, size, change) in enumerate(MODELS):
                compare(checks, os.path.join(folder, str(i)), name, kind, config, size, change, 10 + i)
    checks.finish()


if __name__ == "__main__":
    main()
