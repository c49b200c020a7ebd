"""ImageReward: a tiny random model of the image_reward package and BERT's WordPiece, against what the unit tests hold ours to.

Where the package cannot be imported, BLIP of transformers takes its place: the same network under other tensor names.
`scripts/reference.sh image_reward` installs the package into a virtual environment of its own, with the libraries of its time.

--write  writes tests/golden/image_reward_tiny.safetensors and wordpiece.json; needs the package.
"""
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import types
import unicodedata

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import common
from strings import all_strings

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden")
TINY, WORDS = (os.path.join(GOLDEN, name) for name in ("image_reward_tiny.safetensors", "wordpiece.json"))
ADDED = ["[DEC]", "[ENC]"]  # behind bert-base-uncased, as BLIP adds them
VISION = {"img_size": 24, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_ratio": 2.0}
HEAD = [20, 12, 10, 6, 5, 1]  # the package's own: 768, 1024, 128, 64, 16, 1
PROMPTS = ["A small red Lighthouse, at night!", "ein Schlo\u00df in Z\u00fcrich \u2014 \u6f22\u5b57 & CAFE\u0301s", "", "horse [SEP] painting",
           "a castle, a horse, a teapot; " * 8]
# Heights and widths whose shorter side becomes 24: even and odd remainders along the longer one (8, 3, 7, 1, 0), both ways round.
SIZES = [(64, 48), (36, 32), (48, 62), (48, 50), (16, 16)]
TEXTS = ["An astronaut riding a green horse", "Caf\u00e9 CAFE\u0301 caf\u0113s", "isn't it? (no!) a-b_c...", "\u6f22\u5b57x\u6f22", "unaffable lighthouses zzz\u0416", "\u0391\u03a3 \u03a3\u0391\u03a3",
         "\u0130STANBUL", "a[SEP]b [sep] [ENC][DEC] [UNK]x[MASK]", "a\u2028b\u2029c\u00a0d\u3000e", "a\u00adb\u200bc\u0000d\ufffde\ue000f\U0010fffeg", "a\u037eb \u1fefc", "\u212b \u2126 \u212a \ufb01 \u00bd",
         "\uf900\u4e00\U00020000\u3400\u3042\u30ab\ud55c", "\u0301a\u0301\u0302", "x" * 100, "x" * 101, "x" * 99 + "\u00e9\u00e9", "$5 + \u20ac5 = 10 \u00d7 1 ^ ~ ` | < >", "\t a \r\n b  ", "a, " * 40]
PIECES = ("light ##house castle painting horse teapot riding green red small night astronaut un ##aff ##able cafe ##s istanbul schloß zurich in at an "
          "ein isn ##ing ##t ##é tea ##pot σας").split()


def vocabulary(texts):
    """Words and parts of them, and the characters of `texts`; every third one cannot follow another, so that words remain unknown."""
    characters = sorted({c for text in texts for c in unicodedata.normalize("NFD", "".join(c.lower() for c in text)) if not c.isspace()
                         and unicodedata.category(c)[0] not in "CM"})
    alone = [c for i, c in enumerate(characters) if i % 7 != 3 or c.isascii()]
    within = ["##" + c for i, c in enumerate(characters) if c.isalnum() and (i % 3 != 1 or c.isascii()) and c != "z"]
    return list(dict.fromkeys(["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *alone, *within, *PIECES]))


def golden_texts():
    return list(dict.fromkeys(TEXTS + PROMPTS + [s for s in all_strings() if len(s) <= 40][::8]))


def bert(words):
    """transformers' BertTokenizer with BLIP's two tokens."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
            file.write("".join(word + "\n" for word in words))
        tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"bos_token": ADDED[0]})
    tokenizer.add_special_tokens({"additional_special_tokens": ADDED[1:]})
    return tokenizer


def picture(height, width, seed):
    """Smooth in places, rough in others."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    rough = (x * x * 23 + y * y * 41 + x * y * 11 + c * 83 + seed * 61) % 241
    smooth = (x * 3 + y * 4 + c * 50 + seed * 17) % 256
    return np.where((x // 6 + y // 7) % 2 == 0, rough, smooth).astype(np.uint8)


def med_config(words):
    return {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": HEAD[0], "intermediate_size": 28, "num_attention_heads": 2,
            "num_hidden_layers": 2, "max_position_embeddings": 40, "layer_norm_eps": 1e-12, "pad_token_id": 0, "type_vocab_size": 2,
            "vocab_size": len(words) + len(ADDED), "encoder_width": 16, "add_cross_attention": True,  # the width of another encoder, as in the published file
            "attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1, "initializer_range": 0.02,
            "vision_config": {"num_attention_heads": VISION["num_heads"]}}


def package():
    """The package's module ImageReward.ImageReward, or None. Its __init__ files are passed by: they also import CLIP and trainers."""
    found = importlib.util.find_spec("ImageReward")
    if found is None:
        return None
    for name, folder in (("ImageReward", ""), ("ImageReward.models", "models")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [os.path.join(found.submodule_search_locations[0], folder)]
    return importlib.import_module("ImageReward.ImageReward")


def tiny_model(module, words):
    """The package's ImageReward, made by its own constructors at another size: only the sizes are exchanged."""
    pretrain = importlib.import_module("ImageReward.models.BLIP.blip_pretrain")
    blip = importlib.import_module("ImageReward.models.BLIP.blip")
    pretrain.create_vit = lambda *_: (blip.VisionTransformer(**VISION), VISION["embed_dim"])
    pretrain.init_tokenizer = lambda: bert(words)
    transform, inner = module._transform, module.MLP
    module._transform = lambda _: transform(VISION["img_size"])

    def head(_):
        made = inner(4)
        places = [i for i, layer in enumerate(made.layers) if isinstance(layer, torch.nn.Linear)]
        for place, before, after in zip(places, HEAD[:-1], HEAD[1:], strict=True):
            made.layers[place] = torch.nn.Linear(before, after)
        return made
    module.MLP = head
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(med_config(words), file)
        file.flush()
        return randomise(module.ImageReward(med_config=file.name).eval())


def randomise(model):
    """Nothing stays at a neutral value: a norm or a bias that is left out must show."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * (0.35 if parameter.dim() == 2 and "embedding" not in name else 0.15)
            if name.endswith("weight") and "norm" in name.lower():
                noise += 1
            if "embed" in name or "cls_token" in name:
                noise *= 0.02 if "patch" in name else 0.2  # small rows, as in trained models: the norms' epsilon must show too
            parameter.copy_(noise)
    return model


def by_package(module, words):
    """Weights and results: each prompt with the image of the same number, through the package's score()."""
    model = tiny_model(module, words)
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith(("blip.vision_proj", "blip.text_proj"))}
    texts = model.blip.tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=35, return_tensors="pt")
    images = [picture(h, w, i) for i, (h, w) in enumerate(SIZES)]
    pixels = torch.stack([model.preprocess(Image.fromarray(image)) for image in images])
    out = {"in.ids": texts.input_ids, "in.mask": texts.attention_mask, "in.pixels": pixels,
           **{f"in.image.{i}": torch.from_numpy(image) for i, image in enumerate(images)}}
    with torch.inference_mode():
        tokens = model.blip.visual_encoder(pixels)
        states = model.blip.text_encoder(texts.input_ids, attention_mask=texts.attention_mask, encoder_hidden_states=tokens,
                                         encoder_attention_mask=torch.ones(tokens.shape[:-1], dtype=torch.long), return_dict=True).last_hidden_state
        out |= {"out.image_tokens": tokens, "out.states": states[:, 0], "out.reward":
                torch.tensor([model.score(p, Image.fromarray(i)) for p, i in zip(PROMPTS, images, strict=True)], dtype=torch.float64)}
        gap = (model.score_gard(texts.input_ids, texts.attention_mask, pixels)[:, 0] - out["out.reward"]).abs().max()
        assert gap < 1e-5, gap
    return weights, out


def by_transformers(kept, config):
    """The same from transformers' BLIP with the weights of the golden file."""
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel
    width = VISION["embed_dim"]
    vision = BlipVisionModel(BlipVisionConfig(hidden_size=width, intermediate_size=int(width * VISION["mlp_ratio"]), num_hidden_layers=VISION["depth"],
                                              num_attention_heads=VISION["num_heads"], image_size=VISION["img_size"], patch_size=VISION["patch_size"],
                                              hidden_act="gelu", layer_norm_eps=1e-6)).eval()
    text = BlipTextModel(BlipTextConfig(encoder_hidden_size=width, bos_token_id=0, **{k: config[k] for k in (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "hidden_act", "layer_norm_eps")}),
        add_pooling_layer=False).eval()
    renamed = {}
    for name, value in kept.items():
        if not name.startswith("blip.visual_encoder."):
            continue
        for old, new in (("blip.visual_encoder.", ""), ("cls_token", "embeddings.class_embedding"), ("pos_embed", "embeddings.position_embedding"),
                         ("patch_embed.proj", "embeddings.patch_embedding"), ("blocks.", "encoder.layers."), ("attn.qkv", "self_attn.qkv"),
                         ("attn.proj", "self_attn.projection"), (".norm1", ".layer_norm1"), (".norm2", ".layer_norm2")):
            name = name.replace(old, new)
        renamed["post_layernorm." + name.split(".")[1] if name.startswith("norm.") else name] = value
    vision.load_state_dict(renamed, strict=True)
    prefix = "blip.text_encoder."
    missing, unknown = text.load_state_dict({k[len(prefix):]: v for k, v in kept.items() if k.startswith(prefix)}, strict=False)
    assert not missing and set(unknown) <= {"embeddings.position_ids"}, (missing, unknown)
    with torch.inference_mode():
        tokens = vision(kept["in.pixels"]).last_hidden_state
        states = text(input_ids=kept["in.ids"], attention_mask=kept["in.mask"], encoder_hidden_states=tokens,
                      encoder_attention_mask=torch.ones(tokens.shape[:-1], dtype=torch.long), is_decoder=False).last_hidden_state[:, 0]
    reward = states.double()
    for place in (0, 2, 4, 6, 7):
        reward = reward @ kept[f"mlp.layers.{place}.weight"].double().T + kept[f"mlp.layers.{place}.bias"].double()
    return {"out.image_tokens": tokens, "out.states": states, "out.reward": (reward[:, 0] - 0.16717362830052426) / 1.0333394966054072}


def ours(words, texts):
    """Ids of this program."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("vocab.txt", "texts.json")]
        for path, content in zip(paths, ("".join(word + "\n" for word in words), json.dumps(texts)), strict=True):
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
        out = subprocess.run([common.program("reference_dump"), "wordpiece", *paths, "special"], check=True, capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def write(module):
    texts = golden_texts()
    words = vocabulary(texts)
    tokenizer = bert(words)
    weights, out = by_package(module, words)
    made_by = f"scripts/reference/image_reward.py --write; image_reward 1.5, transformers {transformers.__version__}"
    save_file({k: v.contiguous() for k, v in {**weights, **out}.items()}, TINY,
              metadata={"config": json.dumps({**med_config(words), "prompts": PROMPTS}), "oracle": made_by})
    with open(WORDS, "w", encoding="ascii") as file:
        json.dump({"made_by": made_by, "vocabulary": words, "texts": texts, "ids": tokenizer(texts)["input_ids"]}, file, separators=(",", ":"))
        file.write("\n")
    print(TINY, os.path.getsize(TINY), WORDS, os.path.getsize(WORDS), out["out.reward"].tolist())


def main():
    module = package()
    if sys.argv[1:] == ["--write"]:
        if module is None:
            sys.exit("the image_reward package is not here: run scripts/reference.sh image_reward, and this with the Python that it installed")
        return write(module)
    checks = common.Checks(f"ImageReward: {'the package' if module else 'BLIP of transformers'} and BertTokenizer against what the unit tests hold ours to")
    with safe_open(TINY, "pt") as file:
        config = json.loads(file.metadata()["config"])
    with open(WORDS, encoding="ascii") as file:
        golden = json.load(file)
    kept, words = load_file(TINY), golden["vocabulary"]
    sources = [("BLIP of transformers", by_transformers(kept, config))]
    if module:
        sources.append(("the package", by_package(module, words)[1]))
    for source, made in sources:
        for key in sorted(made):
            gap = (made[key].double() - kept[key].double()).abs().max().item()
            checks.check(f"{source}, {key}", gap <= 1e-5 * max(1, kept[key].double().abs().max().item()), f"largest difference {gap:.1e}")
    rules = "of Python" if hasattr(bert(words), "basic_tokenizer") else "of the tokenizers library"
    kept_ids = {text: ids for text, ids in zip(golden["texts"], golden["ids"], strict=True)}
    texts = comparable(golden["texts"], rules)
    compare(checks, f"ids of the golden file, rules {rules}", texts, bert(words)(texts)["input_ids"], [kept_ids[text] for text in texts])
    texts = comparable(list(dict.fromkeys(golden_texts() + all_strings())), rules)
    words = vocabulary(texts)
    compare(checks, f"ids of this program, a larger vocabulary, rules {rules}", texts, bert(words)(texts)["input_ids"], ours(words, texts))
    checks.finish()


def comparable(texts, rules):
    """BertTokenizer of the package's time drops characters that Unicode has not assigned, as we do; since transformers 5 they are unknown words."""
    return texts if rules == "of Python" else [t for t in texts if all(unicodedata.category(c) != "Cn" for c in t)]


def compare(checks, name, texts, theirs, mine):
    wrong = [i for i in range(len(texts)) if theirs[i] != mine[i]]
    shown = "; ".join(f"{ascii(texts[i][:60])}: theirs {theirs[i][:20]}, ours {mine[i][:20]}" for i in wrong[:6])
    checks.check(name, not wrong, f"{len(texts)} texts, {sum(map(len, theirs))} ids" + (f", {len(wrong)} differ: {shown}" if wrong else ""))


if __name__ == "__main__":
    main()
