"""Logits of tiny random models of every family: ours against transformers in float32, from Hugging Face folders in both
spellings of config.json, sharded and not, from models nested in one that sees images, and from GGUF files.

    .venv-reference/bin/python scripts/reference/tiny_models.py [--write FOLDER] [--golden]

--write keeps the models (FOLDER/NAME, FOLDER/NAME.gguf), to try the command line with. --golden writes
tests/golden/gemma3_tiny.safetensors, which the unit tests hold ours to, and stops.
Tolerance: 1e-4 of the largest logit (specification models 17.4); about 1e-6 is usual. transformers also runs every model with one
of its features switched off: that has to move the logits by far more, otherwise the comparison would show nothing.
"""
import argparse
import copy
import json
import os
import shutil
import subprocess
import tempfile

import gguf
import safetensors.torch
import torch
import transformers

import common

TOKENS = 40
ROPE_LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}
SMALL = dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=6,
             num_key_value_heads=2, head_dim=16, max_position_embeddings=128, rms_norm_eps=1e-5)
GEMMA = SMALL | dict(hidden_size=40, num_attention_heads=4, query_pre_attn_scalar=20, sliding_window=7, num_hidden_layers=7)
GEMMA3_ROPE = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 50000.0},
               "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}


def randomise(model, seed):
    """Nothing stays at a neutral value: a norm, a bias or a cap that is left out must show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.15
            if "norm" in name and "Gemma" not in type(model).__name__:
                noise += 1
            if "embed_tokens" in name:
                noise *= 4  # of a size at which caps bite
            parameter.copy_(noise)
    return model.eval()


def make(config, seed):
    torch.manual_seed(seed)
    return randomise(transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager"), seed)


def like(model, change):
    """The same weights under another configuration."""
    config = copy.deepcopy(model.config)
    for key, value in change.items():
        setattr(config, key, value)
    other = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    other.load_state_dict(model.state_dict())
    return other.eval()


def logits(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float()


def ours(path, ids):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(ids, file)
        file.flush()
        run = subprocess.run([common.program("model_dump"), path, file.name] + [str(i) for i in range(len(ids))], capture_output=True)
    if run.returncode:
        return None, run.stderr.decode().strip()
    return torch.tensor(json.loads(run.stdout)["logits"]).reshape(len(ids), -1), ""


def old_spelling(config):
    """config.json as transformers 4 wrote it."""
    out = copy.deepcopy(config)
    out.pop("layer_types", None)
    rope = out.pop("rope_parameters")
    if "full_attention" in rope:
        out["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    out["rope_theta"] = rope.pop("rope_theta")
    out["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    return out


def rewrite(folder, change):
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(change(config), file)


def families():
    """name, config, {what is switched off: change of the config}"""
    t = transformers
    yield "llama", t.LlamaConfig(**SMALL, rope_parameters=ROPE_LLAMA3, attention_bias=True, mlp_bias=True), \
        {"llama3 scaling": dict(rope_parameters={"rope_type": "default", "rope_theta": 10000.0})}
    yield "mistral", t.MistralConfig(**SMALL, sliding_window=5), {"window": dict(sliding_window=6)}
    yield "mistral-full", t.MistralConfig(**SMALL, sliding_window=None), {"no window": dict(sliding_window=20)}
    yield "qwen2", t.Qwen2Config(**{k: v for k, v in SMALL.items() if k != "head_dim"} | dict(hidden_size=96), use_sliding_window=True,
                                 sliding_window=3, max_window_layers=1), {"layer rule": dict(layer_types=["sliding_attention"] * 4)}
    yield "qwen3", t.Qwen3Config(**SMALL | dict(hidden_size=40, num_attention_heads=4), attention_bias=True, use_sliding_window=True,
                                 sliding_window=5, max_window_layers=2, tie_word_embeddings=True), \
        {"window": dict(layer_types=["full_attention"] * 4)}
    yield "gemma2", t.Gemma2Config(**GEMMA, attn_logit_softcapping=2.0, final_logit_softcapping=5.0), \
        {"attention cap": dict(attn_logit_softcapping=None), "final cap": dict(final_logit_softcapping=None),
         "scale": dict(query_pre_attn_scalar=16), "window": dict(sliding_window=8),
         "layer rule": dict(layer_types=["sliding_attention", "full_attention", "full_attention"] * 2 + ["sliding_attention"])}
    yield "gemma3_text", t.Gemma3TextConfig(**GEMMA, rope_parameters=GEMMA3_ROPE, final_logit_softcapping=5.0), \
        {"window": dict(sliding_window=8), "scale": dict(query_pre_attn_scalar=16),
         "local RoPE": dict(rope_parameters=GEMMA3_ROPE | {"sliding_attention": GEMMA3_ROPE["full_attention"]}),
         "global scaling": dict(rope_parameters=GEMMA3_ROPE | {"full_attention": {"rope_type": "default", "rope_theta": 50000.0}}),
         "final cap": dict(final_logit_softcapping=None)}


def write_gguf(model, architecture, path):
    """As llama.cpp's converter lays these architectures out: no permutation, Gemma's norms plus one."""
    c = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    rope = c.rope_parameters
    if architecture == "gemma3":
        writer.add_sliding_window(c.sliding_window)
        writer.add_float32("gemma3.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if architecture == "gemma2":
        writer.add_sliding_window(c.sliding_window)
        writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
    if architecture.startswith("gemma"):
        writer.add_final_logit_softcapping(c.final_logit_softcapping)
    writer.add_rope_freq_base(rope["rope_theta"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], c.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        if "norm" in name and architecture.startswith("gemma"):
            value = value + 1
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_golden():
    """A Gemma 3 of 46 kB with what transformers makes of it after every layer (float64, its norms and softmax float32)."""
    config = transformers.Gemma3TextConfig(
        vocab_size=29, hidden_size=16, intermediate_size=24, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        query_pre_attn_scalar=20, sliding_window=3, layer_types=["sliding_attention", "full_attention"] * 2, rope_parameters=GEMMA3_ROPE,
        final_logit_softcapping=5.0, max_position_embeddings=64)
    model = make(config, 21)
    tensors = {name: value.clone() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    ids = torch.randint(0, 29, (2, 12), generator=torch.Generator().manual_seed(2))
    model = model.double()
    embedding = model.model.embed_tokens
    embedding.embed_scale = torch.tensor(16.0 ** 0.5, dtype=torch.float64)
    with torch.inference_mode():
        out = model(ids, use_cache=False, output_hidden_states=True)
        # The last of the hidden states is already behind the final norm; the last layer's own output is caught apart.
        caught = []
        handle = model.model.layers[-1].register_forward_hook(lambda module, inputs, output: caught.append(output))
        model(ids, use_cache=False)
        handle.remove()
    last = caught[0][0] if isinstance(caught[0], tuple) else caught[0]
    layers = list(out.hidden_states[1:-1]) + [last]
    tensors |= {"in.ids": ids, "out.embed": out.hidden_states[0].float(), "out.norm": out.hidden_states[-1].float(),
                "out.logits": out.logits.float()}
    tensors |= {f"out.layers.{i}": x.float() for i, x in enumerate(layers)}
    losses = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    tensors["out.mean_ce"] = losses.float().reshape(1)
    metadata = {"config": json.dumps(config.to_dict()), "made_by": f"scripts/reference/tiny_models.py --golden; transformers {transformers.__version__}"}
    path = os.path.join(common.REPOSITORY, "tests", "golden", "gemma3_tiny.safetensors")
    safetensors.torch.save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata)
    print(path, os.path.getsize(path), "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", metavar="FOLDER")
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    if arguments.golden:
        return write_golden()
    root = arguments.write or tempfile.mkdtemp()
    os.makedirs(root, exist_ok=True)
    transformers.logging.disable_progress_bar()
    ids = torch.randint(0, 97, (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    checks = common.Checks("Tiny random models against transformers")

    def compare(name, path, expected):
        mine, message = ours(path, ids)
        if mine is None:
            return checks.check(name, False, message)
        gap, size = (mine - expected).abs().max().item(), expected.abs().max().item()
        checks.check(name, gap <= 1e-4 * size, f"{gap:.1e} of {size:.1f}")

    for seed, (name, config, switches) in enumerate(families()):
        model = make(config, seed)
        expected = logits(model, ids)
        folder = os.path.join(root, name)
        model.save_pretrained(folder)
        compare(f"{name}, transformers 5's config", folder, expected)
        rewrite(folder, old_spelling)
        compare(f"{name}, transformers 4's config", folder, expected)
        for what, change in switches.items():
            gap = (logits(like(model, change), ids) - expected).abs().max().item()
            checks.check(f"{name}: {what} matters", gap > 1e-2 * expected.abs().max().item(), f"{gap:.1e}")
        architecture = {"qwen3": "qwen3", "gemma2": "gemma2", "gemma3_text": "gemma3"}.get(name)
        if architecture:
            # The format has no key for the scale of Gemma's scores, nor for Qwen's window.
            model = like(model, {"layer_types": ["full_attention"] * config.num_hidden_layers} if name == "qwen3"
                         else {"query_pre_attn_scalar": config.head_dim})
            path = os.path.join(root, name + ".gguf")
            write_gguf(model, architecture, path)
            compare(f"{name}, GGUF", path, logits(model, ids))

    # Stored in bfloat16: the embedding's multiplier is rounded to that type. Computed in float32 on both sides.
    model = make(transformers.Gemma3TextConfig(**GEMMA, rope_parameters=GEMMA3_ROPE), 11)
    folder = os.path.join(root, "gemma3-bf16")
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="20KB")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    unrounded = logits(model, ids)
    embedding = model.model.embed_tokens
    embedding.embed_scale.copy_(embedding.embed_scale.to(torch.bfloat16).float())
    expected = logits(model, ids)
    compare("gemma3 in bfloat16, sharded", folder, expected)
    gap = (unrounded - expected).abs().max().item()
    checks.check("gemma3: the rounded multiplier matters", gap > 2e-4 * expected.abs().max().item(), f"{gap:.1e}")
    shards = sorted(f for f in os.listdir(folder) if f.endswith(".safetensors"))
    shutil.move(os.path.join(folder, shards[1]), os.path.join(root, "away"))
    message = ours(folder, ids)[1]
    checks.check("a missing shard is named", shards[1] in message, message)
    shutil.move(os.path.join(root, "away"), os.path.join(folder, shards[1]))

    # Nested in a model that sees images.
    vision = dict(model_type="siglip_vision_model", hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                  image_size=28, patch_size=14)
    text = transformers.Gemma3TextConfig(**GEMMA, rope_parameters=GEMMA3_ROPE).to_dict()
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    model = randomise(transformers.Gemma3ForConditionalGeneration._from_config(config, attn_implementation="eager"), 12)
    folder = os.path.join(root, "gemma3-with-images")
    model.save_pretrained(folder)
    compare("gemma3 with images, the text half", folder, logits(model, ids))

    if not arguments.write:
        shutil.rmtree(root)
    checks.finish()


if __name__ == "__main__":
    main()
