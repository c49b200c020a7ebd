"""Pipelines from a prompt or a class to an image: ours against diffusers' DiTPipeline, PixArtSigmaPipeline, PixArtAlphaPipeline,
SanaPipeline and SanaSprintPipeline on tiny random models, from folders as diffusers writes them, with the noise of torch's CPU generator.

    .venv-reference/bin/python scripts/reference/pipelines.py [--write] [--keep FOLDER] [NAME...]

Tolerance: no value of an image in [0, 1] further than 1e-3 from the reference's; 1e-5 is usual. Every model's weights lie on numbers
that half precision has, so that both sides read the same. --write writes tests/golden/pipelines, which the unit tests run; --keep keeps
the folders. NAME: only these.
"""
import argparse
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderDC, AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, SCMScheduler
from PIL import Image
from safetensors.torch import save_file
from tokenizers import decoders, normalizers, pre_tokenizers

import common
import tokenizer_json
import unigram

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden", "pipelines")
SPIECE = os.path.join(common.REPOSITORY, "tests", "golden", "text_tokenizers", "spiece.model")
CAPTION = 20  # channels of the encoded text
TOLERANCE = 1e-3


def randomise(model, seed, share=1.0):
    """Nothing stays at a neutral value; every value is one of half precision."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                noise = (1 if "norm" in name and name.endswith("weight") else 0) + 0.15 * noise
            elif any(word in name for word in ("embed_tokens", "embedding_table", "shared", "attention_bias", "scale_shift_table")):
                noise = 0.5 * noise
            else:
                noise = share * noise / parameter[0].numel() ** 0.5
            parameter.copy_(noise.half())
    return model.eval()


# Parts -------------------------------------------------------------------------------------------------------------------------------

def kl(stages, latent=4, seed=2):
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * stages, "up_block_types": ["UpDecoderBlock2D"] * stages}
    return randomise(AutoencoderKL(**blocks, block_out_channels=[4, 8, 8, 8][:stages], norm_num_groups=2, latent_channels=latent), seed)


def dcae(stages, latent, seed=2):
    kinds = ["ResBlock"] * (stages - 1) + ["EfficientViTBlock"]
    return randomise(AutoencoderDC(
        latent_channels=latent, attention_head_dim=4, encoder_block_types=kinds, decoder_block_types=kinds, encoder_block_out_channels=[12] * stages,
        decoder_block_out_channels=[12] * stages, encoder_layers_per_block=[1] * stages, decoder_layers_per_block=[1] * stages,
        encoder_qkv_multiscales=[[]] * (stages - 1) + [[3]], decoder_qkv_multiscales=[[]] * (stages - 1) + [[3]], upsample_block_type="interpolate",
        downsample_block_type="conv"), seed)


def dit(**changed):
    return randomise(diffusers.DiTTransformer2DModel(**{
        "num_attention_heads": 3, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": 2, "sample_size": 8,
        "num_embeds_ada_norm": 1000} | changed), 1)


def pixart(**changed):
    return randomise(diffusers.PixArtTransformer2DModel(**{
        "num_attention_heads": 3, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": 2, "cross_attention_dim": 24,
        "sample_size": 8, "patch_size": 2, "caption_channels": CAPTION, "interpolation_scale": 1, "use_additional_conditions": False} | changed), 1)


def sana(**changed):
    return randomise(diffusers.SanaTransformer2DModel(**{
        "in_channels": 6, "out_channels": 6, "num_attention_heads": 6, "attention_head_dim": 4, "num_layers": 2, "num_cross_attention_heads": 3,
        "cross_attention_head_dim": 8, "cross_attention_dim": 24, "caption_channels": CAPTION, "mlp_ratio": 2.5, "sample_size": 7,
        "interpolation_scale": None} | changed), 1)


def t5():
    config = transformers.T5Config(vocab_size=260, d_model=CAPTION, d_kv=8, num_heads=3, d_ff=32, num_layers=2, feed_forward_proj="gated-gelu",
                                   dropout_rate=0.0)
    with open(SPIECE, "rb") as file:
        tokenizer = unigram.t5_tokenizer(file.read())
    return tokenizer, randomise(transformers.T5EncoderModel(config), 3)


def gemma():
    found = tokenizer_json.pieces(unigram.small_text(), size=150)
    replace = normalizers.Replace(" ", tokenizer_json.MARK)
    back = decoders.Sequence([decoders.Replace(tokenizer_json.MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = tokenizer_json.over_characters(found, replace, pre_tokenizers.Split(" ", "merged_with_previous"), back,
                                               special=("<pad>", "<eos>", "<bos>", "<unk>"), prefix="<bos>")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    config = transformers.Gemma2Config(
        vocab_size=len(fast), hidden_size=CAPTION, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        query_pre_attn_scalar=8, sliding_window=4096, pad_token_id=fast.pad_token_id, bos_token_id=fast.bos_token_id, eos_token_id=fast.eos_token_id)
    return fast, randomise(transformers.Gemma2Model(config), 3)


VP = {"solver_order": 2, "algorithm_type": "dpmsolver++"}
FLOW = VP | {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}


def ddim():
    return DDIMScheduler(clip_sample=False)


# Cases -------------------------------------------------------------------------------------------------------------------------------
# Each gives a pipeline, the arguments of its call, and the request as ours reads it.

def case_dit():
    pipe = diffusers.DiTPipeline(dit(), kl(2), ddim(), id2label={str(i): f"thing {i}, thing number {i}" for i in range(1000)})
    return pipe, {"class_labels": [207], "guidance_scale": 3.0, "num_inference_steps": 5}, {"classes": ["thing number 207"], "guidance": 3, "steps": 5}


def case_dit_unguided():
    pipe = diffusers.DiTPipeline(dit(out_channels=4), kl(3), ddim())
    return pipe, {"class_labels": [3], "guidance_scale": 1.0, "num_inference_steps": 7}, {"classes": ["3"], "guidance": 1, "steps": 7}


def case_pixart():
    tokenizer, encoder = t5()
    pipe = diffusers.PixArtSigmaPipeline(tokenizer, encoder, kl(2), pixart(), DPMSolverMultistepScheduler(**VP))
    call = {"prompt": " A small red Castle near the river ", "negative_prompt": "a quiet robot", "guidance_scale": 3.5, "num_inference_steps": 4,
            "height": 16, "width": 24, "clean_caption": False, "use_resolution_binning": False}
    return pipe, call, {"prompts": [call["prompt"]], "negative": "a quiet robot", "guidance": 3.5, "steps": 4, "height": 16, "width": 24}


def case_pixart_long():
    """A prompt that is cut, no guidance."""
    tokenizer, encoder = t5()
    pipe = diffusers.PixArtSigmaPipeline(tokenizer, encoder, kl(2), pixart(out_channels=4), DPMSolverMultistepScheduler(**VP))
    text = "a shining lighthouse in the desert, photo of the wooden teapot. " * 20
    call = {"prompt": text, "guidance_scale": 1.0, "num_inference_steps": 3, "height": 16, "width": 16, "use_resolution_binning": False,
            "clean_caption": False}
    return pipe, call, {"prompts": [text], "guidance": 1, "steps": 3}


def case_pixart_binned():
    """A size between those of the table, an autoencoder that halves three times."""
    tokenizer, encoder = t5()
    pipe = diffusers.PixArtSigmaPipeline(tokenizer, encoder, kl(4), pixart(sample_size=32), DPMSolverMultistepScheduler(**VP))
    call = {"prompt": "an ancient garden at night", "guidance_scale": 4.5, "num_inference_steps": 5, "height": 200, "width": 320,
            "clean_caption": False}
    return pipe, call, {"prompts": [call["prompt"]], "steps": 5, "height": 200, "width": 320}


def case_pixart_micro():
    """PixArt-alpha at 1024 knows the size and shape of its image."""
    tokenizer, encoder = t5()
    pipe = diffusers.PixArtAlphaPipeline(tokenizer, encoder, kl(4),
                                         pixart(sample_size=128, use_additional_conditions=True, interpolation_scale=2, num_layers=1),
                                         DPMSolverMultistepScheduler(**VP))
    call = {"prompt": "a blue horse under a cloudy sky", "guidance_scale": 2.0, "num_inference_steps": 2, "height": 500, "width": 2000,
            "clean_caption": False}
    return pipe, call, {"prompts": [call["prompt"]], "guidance": 2, "steps": 2, "height": 500, "width": 2000}


def case_sana():
    tokenizer, encoder = gemma()
    pipe = diffusers.SanaPipeline(tokenizer, encoder, dcae(2, 6), sana(), DPMSolverMultistepScheduler(**FLOW))
    call = {"prompt": "A happy Teapot on a table", "guidance_scale": 3.0, "num_inference_steps": 4, "height": 32, "width": 64, "use_resolution_binning": False,
            "complex_human_instruction": None}
    return pipe, call, {"prompts": [call["prompt"]], "guidance": 3, "steps": 4, "height": 32, "width": 64, "instruction": "none"}


def case_sana_binned():
    """The instruction before the prompt, a size between those of the table, an autoencoder that halves five times."""
    tokenizer, encoder = gemma()
    pipe = diffusers.SanaPipeline(tokenizer, encoder, dcae(6, 6), sana(sample_size=16), DPMSolverMultistepScheduler(**FLOW))
    call = {"prompt": "a wooden mountain near the river", "negative_prompt": "a photo", "guidance_scale": 4.5, "num_inference_steps": 3, "height": 300, "width": 500}
    return pipe, call, {"prompts": [call["prompt"]], "negative": "a photo", "steps": 3, "height": 300, "width": 500}


def case_sana_euler():
    """The other flow scheduler, a timestep scale, no guidance."""
    tokenizer, encoder = gemma()
    pipe = diffusers.SanaPipeline(tokenizer, encoder, dcae(2, 6), sana(timestep_scale=0.5, qk_norm="rms_norm_across_heads"),
                                  diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    call = {"prompt": "a quiet castle", "guidance_scale": 1.0, "num_inference_steps": 4, "height": 64, "width": 32, "use_resolution_binning": False}
    return pipe, call, {"prompts": [call["prompt"]], "guidance": 1, "steps": 4, "height": 64, "width": 32}


def case_sprint():
    tokenizer, encoder = gemma()
    pipe = diffusers.SanaSprintPipeline(tokenizer, encoder, dcae(2, 6), sana(guidance_embeds=True, qk_norm="rms_norm_across_heads"), SCMScheduler())
    call = {"prompt": "a shining robot", "guidance_scale": 4.5, "num_inference_steps": 2, "height": 32, "width": 64, "use_resolution_binning": False,
            "complex_human_instruction": None}
    return pipe, call, {"prompts": [call["prompt"]], "height": 32, "width": 64, "instruction": "none"}


CASES = {name.removeprefix("case_"): make for name, make in list(globals().items()) if name.startswith("case_")}
STORED = ["dit", "pixart", "sana", "sprint"]


# Both sides --------------------------------------------------------------------------------------------------------------------------

def fit_autoencoder(pipe, call, seed):
    """A scaling factor for which the random model's latents are codes of about one, so that images are not black and white."""
    seen, decode = [], pipe.vae.decode

    def watch(code, **options):
        seen.append(code * pipe.vae.config.scaling_factor)
        return decode(code, **options)

    pipe.vae.decode = watch
    theirs(pipe, call, seed)
    pipe.vae.decode = decode
    pipe.vae.register_to_config(scaling_factor=float(f"{seen[0].std().item() / 0.7:.4g}"))


@torch.inference_mode()
def theirs(pipe, call, seed):
    image = pipe(**call, generator=torch.Generator().manual_seed(seed), output_type="pt").images[0]
    return image.float()


def save_half(model, folder):
    """A copy: half precision would stay in the tables of positions that a model computes and does not store."""
    copy.deepcopy(model).half().save_pretrained(folder)


def save(pipe, folder):
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("transformer", "vae", "text_encoder"):
        part = getattr(pipe, name, None)
        if part is None:
            continue
        # Gemma multiplies its embedding by sqrt(width) as the stored type holds it: a half checkpoint is another model than the float32
        # one that made the reference image.
        if isinstance(part, transformers.Gemma2Model):
            part.save_pretrained(os.path.join(folder, name))
        else:
            save_half(part, os.path.join(folder, name))
    pipe.scheduler.save_pretrained(os.path.join(folder, "scheduler"))
    index = {k: v for k, v in dict(pipe.config).items() if not k.startswith("_") or k == "_class_name"}
    index["_class_name"] = type(pipe).__name__
    if getattr(pipe, "labels", None) is None:
        index.pop("id2label", None)
    if isinstance(pipe, diffusers.DiTPipeline) and pipe.labels:
        index["id2label"] = {str(i): f"thing {i}, thing number {i}" for i in range(200, 210)}
    tokenizer = getattr(pipe, "tokenizer", None)
    if tokenizer is not None:
        os.makedirs(os.path.join(folder, "tokenizer"))
        if isinstance(tokenizer, transformers.T5Tokenizer):
            shutil.copy(SPIECE, os.path.join(folder, "tokenizer", "spiece.model"))
        else:
            with open(os.path.join(folder, "tokenizer", "tokenizer.json"), "w", encoding="utf-8") as file:
                file.write(tokenizer.backend_tokenizer.to_str())
    with open(os.path.join(folder, "model_index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file, indent=2, default=list)


def pixels(folder):
    """A model of pixels without autoencoder and with few classes, which DiTPipeline does not take: its loop written out. Little noise,
    since no scaling factor brings the image of a random model into its range."""
    model, scheduler, classes, guidance, steps = dit(in_channels=3, out_channels=3, num_embeds_ada_norm=10), DDIMScheduler(clip_sample=False, beta_end=0.0005), 10, 1.5, 6
    save_half(model, os.path.join(folder, "transformer"))
    scheduler.save_pretrained(os.path.join(folder, "scheduler"))
    with open(os.path.join(folder, "model_index.json"), "w", encoding="utf-8") as file:
        json.dump({"_class_name": "DiTPipeline", "scheduler": ["diffusers", "DDIMScheduler"], "transformer": ["diffusers", "DiTTransformer2DModel"], "vae": [None, None]}, file)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(11))
    scheduler.set_timesteps(steps)
    with torch.inference_mode():
        for t in scheduler.timesteps:
            with_class, without = model(torch.cat([x, x]), timestep=t.expand(2), class_labels=torch.tensor([4, classes])).sample.chunk(2)
            x = scheduler.step(without + guidance * (with_class - without), t, x).prev_sample
    return (x[0] / 2 + 0.5).clamp(0, 1), {"classes": ["4"], "guidance": guidance, "steps": steps, "seed": 11}


def environment(request, folder):
    chosen = dict(os.environ)
    if request.get("instruction") == "none":
        chosen["STAMP_SANA_INSTRUCTION"] = "none"
    elif "sana" in folder or "sprint" in folder:
        path = os.path.join(folder, "sana_instruction.txt")
        subprocess.run([sys.executable, os.path.join(common.REPOSITORY, "scripts", "sana_instruction.py"), path], check=True, capture_output=True)
        chosen["STAMP_SANA_INSTRUCTION"] = path
    return chosen


def ours(folder, request):
    """The image of pipeline_dump, 3 x height x width, and what it said."""
    with tempfile.TemporaryDirectory() as temporary:
        asked, out = os.path.join(temporary, "request.json"), os.path.join(temporary, "image")
        with open(asked, "w", encoding="utf-8") as file:
            json.dump(request, file)
        run = subprocess.run([common.program("pipeline_dump"), folder, asked, out], capture_output=True, text=True, env=environment(request, folder))
        if run.returncode:
            return None, run.stderr.strip()
        with open(out, "rb") as file:
            said = json.loads(run.stdout)
            image = torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(3, said["height"], said["width"])
    return image, run.stderr.strip()


def verdict(checks, label, image, expected, said):
    if image is None or image.shape != expected.shape:
        checks.check(label, False, said if image is None else f"{tuple(image.shape)} instead of {tuple(expected.shape)}")
        return
    gap = (image.double() - expected.double()).abs().max().item()
    inner = ((expected > 0) & (expected < 1)).double().mean().item()
    checks.check(label, gap < TOLERANCE and inner > 0.3,
                 f"{expected.shape[1]} x {expected.shape[2]}, largest difference {gap:.1g}, {100 * inner:.0f} % of the values inside" + (f"; {said}" if said else ""))


def seed_of(name, offset):
    h = 0
    for character in name:
        h = (31 * h + ord(character)) % 1000000007
    return h + offset


def command_line(checks, folder, pipe, call):
    """The program itself: the seed of the first image's name, bytes of a PNG file."""
    with tempfile.TemporaryDirectory() as temporary:
        run = subprocess.run(
            [common.program("stamp"), "sample", folder, "--class", "207", "--steps", "5", "--guidance", "3", "--seed", "5", "--output", temporary],
            capture_output=True, text=True)
        if run.returncode:
            checks.check("stamp sample", False, run.stderr.strip())
            return
        ours_bytes = np.asarray(Image.open(os.path.join(temporary, "0000.png"))).astype(int)
    expected = theirs(pipe, call, seed_of("0000", 5))
    theirs_bytes = (255 * expected.permute(1, 2, 0)).round().int().numpy()
    most = abs(ours_bytes - theirs_bytes).max()
    checks.check("stamp sample with the seed of its first image", most <= 1, f"largest difference {most} of 255")


def keep(folder, image, request):
    save_file({"out.image": image.contiguous()}, os.path.join(folder, "expected.safetensors"),
              metadata={"config": json.dumps({"model_type": "expected", "request": request}), "oracle": f"diffusers {diffusers.__version__}"})


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--write", action="store_true", help="write tests/golden/pipelines")
    arguments.add_argument("--keep", metavar="FOLDER", help="keep the pipelines there")
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}, pixels")
    options = arguments.parse_args()
    names = options.names or (STORED if options.write else list(CASES)) + ["pixels"]
    checks = common.Checks(f"pipelines: ours against diffusers {diffusers.__version__}")
    with tempfile.TemporaryDirectory() as temporary:
        root = GOLDEN if options.write else options.keep or temporary
        for i, name in enumerate(names):
            folder = os.path.join(root, name)
            if name == "pixels":
                os.makedirs(folder, exist_ok=True)
                expected, request = pixels(folder)
            else:
                pipe, call, request = CASES[name]()
                pipe.set_progress_bar_config(disable=True)
                request["seed"] = 100 + i
                fit_autoencoder(pipe, call, request["seed"])
                save(pipe, folder)
                expected = theirs(pipe, call, request["seed"])
            if options.write:
                keep(folder, expected, request)
                print(folder, sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(folder) for f in files))
                continue
            image, said = ours(folder, request)
            verdict(checks, name, image, expected, said)
            if name == "dit":
                command_line(checks, folder, pipe, call)
    if not options.write:
        checks.finish()


if __name__ == "__main__":
    main()
