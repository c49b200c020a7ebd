"""A GGUF file of Llama's kind or of Gemma 3 as a transformers model in float32, dequantized with the gguf library.

transformers' own GGUF reader needs accelerate; this one is short and keeps the comparison free of it.
"""
import gguf
import numpy
import torch
import transformers


def field(reader, name, fallback=None):
    found = reader.fields.get(name)
    return found.contents() if found else fallback


def unpaired(weight, heads):
    """Rows in ggml's rotation pairs back to halves: within a head, row 2 j + p -> p * hd / 2 + j."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows, -1)


NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head", "attn_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
# Where Gemma 3 differs: four norms a layer, and norms of q and k.
GEMMA = NAMES | {"ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
                 "post_ffw_norm": "post_feedforward_layernorm", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}


def llama_config(get, common):
    return transformers.LlamaConfig(**common, rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base", 10000.0)})


def gemma3_config(get, common):
    rope = {"full_attention": {"rope_type": "default", "rope_theta": get("rope.freq_base")},
            "sliding_attention": {"rope_type": "default", "rope_theta": get("rope.freq_base_swa", 10000.0)}}
    return transformers.Gemma3TextConfig(**common, head_dim=get("attention.key_length"), query_pre_attn_scalar=get("attention.key_length"),
                                         sliding_window=get("attention.sliding_window"), rope_parameters=rope)


def load(path):
    reader = gguf.GGUFReader(path)
    architecture = field(reader, "general.architecture")
    if architecture not in ("llama", "gemma3"):
        raise SystemExit(f"{path}: only the architectures llama and gemma3 are read here")
    get = lambda key, fallback=None: field(reader, f"{architecture}.{key}", fallback)
    heads = get("attention.head_count")
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(numpy.float32) for t in reader.tensors}
    common = dict(
        vocab_size=tensors["token_embd.weight"].shape[0], hidden_size=get("embedding_length"), intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=heads,
        num_key_value_heads=get("attention.head_count_kv", heads), rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        max_position_embeddings=get("context_length"), tie_word_embeddings="output.weight" not in tensors)
    gemma = architecture == "gemma3"
    config = (gemma3_config if gemma else llama_config)(get, common)
    state = {}
    for name, value in tensors.items():
        parts = name.removesuffix(".weight").split(".")
        if parts[-1] == "attn_q" and not gemma:
            value = unpaired(value, heads)
        if parts[-1] == "attn_k" and not gemma:
            value = unpaired(value, config.num_key_value_heads)
        if gemma and "norm" in parts[-1]:
            value = value - 1  # the file holds what multiplies
        prefix = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
        state[prefix + (GEMMA if gemma else NAMES)[parts[-1]] + ".weight"] = torch.from_numpy(numpy.ascontiguousarray(value))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or [name for name in missing if name != "lm_head.weight"]:
        raise SystemExit(f"{path}: tensors do not fit: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.eval()
