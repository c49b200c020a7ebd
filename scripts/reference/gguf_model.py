"""A llama-type GGUF file as a transformers model in float32, dequantized with the gguf library.

transformers' own GGUF reader needs accelerate; this one is forty lines and keeps the comparison free of it.
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


def load(path):
    reader = gguf.GGUFReader(path)
    if field(reader, "general.architecture") != "llama":
        raise SystemExit(f"{path}: only architecture llama is read here")
    get = lambda key, fallback=None: field(reader, "llama." + key, fallback)
    heads, hidden = get("attention.head_count"), get("embedding_length")
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(numpy.float32) for t in reader.tensors}
    config = transformers.LlamaConfig(
        vocab_size=tensors["token_embd.weight"].shape[0], hidden_size=hidden, intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=heads,
        num_key_value_heads=get("attention.head_count_kv", heads), rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base", 10000.0)},
        max_position_embeddings=get("context_length"), tie_word_embeddings="output.weight" not in tensors)
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head", "attn_norm": "input_layernorm",
             "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
             "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {}
    for name, value in tensors.items():
        parts = name.removesuffix(".weight").split(".")
        if parts[-1] == "attn_q":
            value = unpaired(value, heads)
        if parts[-1] == "attn_k":
            value = unpaired(value, config.num_key_value_heads)
        prefix = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
        state[prefix + names[parts[-1]] + ".weight"] = torch.from_numpy(numpy.ascontiguousarray(value))
    model = transformers.LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or [name for name in missing if name != "lm_head.weight"]:
        raise SystemExit(f"{path}: tensors do not fit: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.eval()
