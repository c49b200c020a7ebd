#!/usr/bin/env python3
"""Output errors of the linear layers and of a block of SmolLM2 at W4A4: FlatQuant as `stamp run` trains it against QuaRot.

    scripts/reference.sh flatquant_layers           minutes: it trains, so only when named
    scripts/reference/flatquant_layers.py [--blocks 0] [--epochs 4] [--samples 16] [--threads 2]

Errors at the *input* of a layer cannot be compared between methods, which move it into spaces of their own. Here every layer
gets the full-precision model's input, and what it gives is taken back to the space of the original layer:
|Y' - Y|^2 / |Y|^2. The block's line is a whole block whose seven layers are quantized, against the full-precision block, behind
full-precision blocks; |Y|^2 is there what the block adds to the residual stream. "Through the block" is that error when this
layer alone is quantized. Text that nobody trained on: WikiText-2 test.

Both methods round alike: activations per token, asymmetric; weights per output channel, symmetric; 4 bits, caches at 16.
FlatQuant's weights are min-max rounded behind its learned clamp, as it was trained. QuaRot's once like that, which its layers
are held against, and once with clip search, its authors' choice: the block is held against the better one. Its random signs
and, for nine heads, its random matrix are drawn here, three times. The first token of a text, which every experiment keeps at
high bits, is left out; in brackets it alone.

FlatQuant trains the block's output, not its layers'. A layer that matters little to it can lose where others gain: v_proj, which
shares its input's transform with q_proj and k_proj. Its line is printed and not held.

Everything is dense and independent of our folding: a layer is an input matrix E, a rounded weight B W E^-T, and B^-T behind.
Without rounding it has to give Y: folding is exact.
"""
import argparse
import glob
import json
import os
import signal
import subprocess
import tempfile
import time

import numpy as np
import scipy.linalg
import torch

import common
import gguf_model
from quantized import round_weight, token_ids

TOKENS, WINDOWS, SEEDS = 512, 4, 3
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]  # in the order of what is kept
SITES = ["qkv", "key", "value", "output", "gate_up", "down"]


def trained(blocks, options, folder, threads):
    """What `stamp run` keeps of FlatQuant's training, block by block; stopped when it has the blocks."""
    text = f"""schema: 1
name: flatquant_layers
model: {{path: {json.dumps(common.smollm2())}}}
data: {{text: wikitext2-test, context: 64, windows: 1}}
calibration: {{text: wikitext2-train, context: 2048, samples: {options.samples}}}
quantization:
  method: flatquant
  weights: {{bits: 4, granularity: channel, symmetric: true, clip_search: false}}
  activations: {{bits: 4, granularity: token, symmetric: false}}
  kv_cache: {{bits: 16}}
  sequence: {{transform: identity}}
  allocation: {{kind: uniform}}
  flatquant: {{epochs: {options.epochs}, arithmetic: float32}}
evaluate: [perplexity]
"""
    path, out = os.path.join(folder, "experiment.yaml"), os.path.join(folder, "out")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    environment = os.environ | {"STAMP_CACHE": os.path.join(folder, "cache")}
    command = [common.program("stamp"), "run", path, "--output", out, "--threads", str(threads)]
    with open(os.path.join(folder, "log"), "w+", encoding="utf-8") as log:
        program = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        found = {}
        while True:
            ended = program.poll() is not None
            for name in glob.glob(os.path.join(folder, "cache", "training", "*.bin")):
                with open(name, "rb") as file:
                    _, _, key, value = file.read().split(b"\n", 3)
                found[find(json.loads(key), "block")] = learned(value)
            if ended or all(block in found for block in blocks):
                break
            time.sleep(0.5)
        if not ended:
            program.send_signal(signal.SIGINT)
            program.wait()
        log.seek(0)
        if not all(block in found for block in blocks):
            raise SystemExit(f"stamp run ended without the blocks:\n{log.read()}")
    return found


def find(value, name):
    """The value of `name` anywhere in nested maps."""
    if isinstance(value, dict):
        inner = (value[name] if k == name else find(v, name) for k, v in value.items())
        return next((v for v in inner if v is not None), None)
    return None


def learned(value):
    """A line of JSON with shapes, then float64: diagonal, left, its inverse, right, its inverse of every site; low and high clip
    factors of the sites, then of the weights."""
    header, numbers = value.split(b"\n", 1)
    header, numbers, tensors, at = json.loads(header), np.frombuffer(numbers, np.float64), [], 0
    for shape in header["shapes"]:
        count = 0 if shape is None else int(np.prod(shape))
        tensors.append(None if shape is None else torch.tensor(numbers[at:at + count].reshape(shape)))
        at += count
    assert at == len(numbers)
    transforms = {site: tensors[5 * i:5 * i + 5] for i, site in enumerate(SITES)}
    clips = tensors[5 * len(SITES):]
    pairs = list(zip(clips[::2], clips[1::2]))
    return {"header": header, "transforms": transforms, "sites": dict(zip(SITES, pairs)), "weights": dict(zip(LINEARS, pairs[len(SITES):]))}


def paley(n):
    """A Hadamard matrix of size q + 1, q = 3 mod 4, or 2 (q + 1), q = 1 mod 4, for a prime q."""
    twice = n % 8 == 4 and all((n // 2 - 1) % d for d in range(2, n // 2 - 1)) and n // 2 % 4 == 2
    q = n // 2 - 1 if twice else n - 1
    squares = {i * i % q for i in range(1, q)}
    chi = [0] + [1 if i in squares else -1 for i in range(1, q)]
    s = np.zeros((q + 1, q + 1))
    s[0, 1:], s[1:, 0] = 1, 1 if twice else -1
    s[1:, 1:] = [[chi[(a - b) % q] for b in range(q)] for a in range(q)]
    if not twice:
        return s + np.eye(q + 1)
    return np.kron(s, [[1, 1], [1, -1]]) + np.kron(np.eye(q + 1), [[1, -1], [-1, -1]])


def hadamard(n):
    """Orthonormal, of size K 2^p."""
    k = n
    while k % 8 == 0:
        k //= 2
    k = 1 if k in (2, 4) else k
    h = np.kron(paley(k) if k > 1 else np.ones((1, 1)), scipy.linalg.hadamard(n // k))
    assert (h @ h.T == n * np.eye(n)).all()
    return torch.tensor(h / np.sqrt(n))


def round_tokens(x, low, high):
    """4 bits, asymmetric, a token's range times the learned factors; zero inside."""
    low, high = x.amin(-1, keepdim=True).clamp(max=0) * low, x.amax(-1, keepdim=True).clamp(min=0) * high
    step = (high - low) / 15
    step = torch.where(step == 0, torch.ones_like(step), step)
    zero = torch.round(-low / step)
    return step * (torch.clamp(torch.round(x / step) + zero, 0, 15) - zero)


def min_max(w):
    step = w.abs().amax(1, keepdim=True) / 7
    return step * torch.clamp(torch.round(w / step), -8, 7)


class Layer:
    """y = round(x E) round(B clamp(W E^-T))^T B^-T, folded in float64; run in float32."""

    def __init__(self, weight, enter, enter_inverse, leave=None, leave_inverse=None, clamp=(None, None), clip=(None, None), rounding=min_max):
        folded = weight.double() @ enter_inverse.T
        if clamp[0] is not None:
            low, high = folded.amin(1) * clamp[0], folded.amax(1) * clamp[1]
            folded = torch.minimum(torch.maximum(folded, low[:, None]), high[:, None])
        if leave is not None:
            folded = leave.T @ folded
        self.enter, self.plain, self.weight = enter.float(), folded.float(), rounding(folded.float())
        self.back = None if leave is None else leave_inverse.float()
        self.clip = [1.0 if value is None else value.item() for value in clip]

    def __call__(self, x, exact=False):
        x = x @ self.enter
        y = x @ self.plain.T if exact else round_tokens(x, *self.clip) @ self.weight.T
        return y if self.back is None else y @ self.back


def kron(a, b):
    return torch.kron(a.contiguous(), b.contiguous())


def every_head(matrix, heads):
    return kron(torch.eye(heads, dtype=torch.float64), matrix)


def flatquant_layers(block, kept, config):
    weights = modules(block)
    def site(name):
        """diag(c) (left (x) right) and its inverse."""
        c, left, left_inverse, right, right_inverse = kept["transforms"][name]
        return torch.diag(c) @ kron(left, right), kron(left_inverse, right_inverse) @ torch.diag(1 / c)
    value, value_inverse = kept["transforms"]["value"][3:]
    heads, heads_inverse = kept["transforms"]["output"][1:3]
    attended = kron(heads, value), kron(heads_inverse, value_inverse)
    enters = dict.fromkeys(LINEARS[:3], site("qkv")) | {"o_proj": attended} | dict.fromkeys(LINEARS[4:6], site("gate_up")) | {"down_proj": site("down")}
    clips = dict.fromkeys(LINEARS[:3], "qkv") | {"o_proj": "output"} | dict.fromkeys(LINEARS[4:6], "gate_up") | {"down_proj": "down"}
    leave = {"v_proj": [every_head(m, config.num_key_value_heads) for m in (value, value_inverse)]}
    return {name: Layer(weights[name].weight, *enters[name], *leave.get(name, (None, None)), clamp=kept["weights"][name],
                        clip=kept["sites"][clips[name]]) for name in LINEARS}


def quarot_layers(block, config, seed, rounding):
    weights, generator = modules(block), torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (config.hidden_size,), generator=generator).double() * 2 - 1
    stream = torch.diag(signs) @ hadamard(config.hidden_size)
    head_dim = config.hidden_size // config.num_attention_heads
    head, inner = hadamard(head_dim), hadamard(config.intermediate_size)
    heads = torch.linalg.qr(torch.randn(config.num_attention_heads, config.num_attention_heads, generator=generator, dtype=torch.float64))[0]
    def behind(norm):
        """The norm's weight is folded into the layers: they read x / gamma, rotated."""
        gamma = norm.weight.double()
        return torch.diag(1 / gamma) @ stream, stream.T @ torch.diag(gamma)
    attended = kron(heads, head)
    enters = dict.fromkeys(LINEARS[:3], behind(block.input_layernorm)) | {"o_proj": (attended, attended.T)} | \
        dict.fromkeys(LINEARS[4:6], behind(block.post_attention_layernorm)) | {"down_proj": (inner, inner.T)}
    values = every_head(head, config.num_key_value_heads)
    leave = {"v_proj": (values, values.T), "o_proj": (stream, stream.T), "down_proj": (stream, stream.T)}
    return {name: Layer(weights[name].weight, *enters[name], *leave.get(name, (None, None)), rounding=rounding) for name in LINEARS}


def modules(block):
    return {name: getattr(block.self_attn if name in LINEARS[:4] else block.mlp, name) for name in LINEARS}


def relative(got, exact, base=None):
    """Error behind the first tokens, and of the first tokens, against the energy there."""
    base = exact if base is None else base
    return [((got - exact)[:, rows].double().square().sum() / base[:, rows].double().square().sum()).item() for rows in (slice(1, None), slice(0, 1))]


class Case:
    """A block, its full-precision inputs and outputs on unseen text."""

    def __init__(self, model, block, hidden):
        self.block, self.seen = block, {}
        hooks = [module.register_forward_hook(lambda _, args, out, name=name: self.seen.update({name: (args[0], out)}))
                 for name, module in modules(block).items()]
        self.call = lambda: block(hidden, position_embeddings=model.model.rotary_emb(hidden, torch.arange(hidden.shape[1])[None]))
        self.out = self.call()
        self.out = self.out[0] if isinstance(self.out, tuple) else self.out
        self.added = self.out - hidden
        for hook in hooks:
            hook.remove()

    def through(self, layers, exact=False):
        """Of the block's output, with these layers in place of its own."""
        places = {name: module for name, module in modules(self.block).items() if name in layers}
        own = {name: module.forward for name, module in places.items()}
        for name, module in places.items():
            module.forward = lambda x, layer=layers[name]: layer(x, exact)
        out = self.call()
        for name, module in places.items():
            module.forward = own[name]
        return relative(out[0] if isinstance(out, tuple) else out, self.out, self.added)

    def errors(self, layers, exact=False):
        """Of every layer on its full-precision input, and of the block."""
        return {name: relative(layers[name](x, exact), y) for name, (x, y) in self.seen.items()} | {"block": self.through(layers, exact)}


def compare(checks, number, case, flat, rotated):
    """FlatQuant's layers and block against QuaRot's, whose errors are means over its draws."""
    def drawn(error):
        return {rounding: np.mean([error(layers) for layers in own], axis=0) for rounding, own in rotated.items()}
    def line(name, mine, theirs, rounding):
        detail = f"FlatQuant {mine[0]:.3g} ({mine[1]:.3g}); QuaRot " + \
            ", ".join(f"{key} {value:.3g} ({first:.3g})" for key, (value, first) in theirs.items())
        if name.startswith("v_proj"):
            print(f"       block {number}, {name}: {detail}")
        else:
            checks.check(f"block {number}, {name}", mine[0] < theirs[rounding][0], detail)
    for name, (x, y) in case.seen.items():
        line(name, relative(flat[name](x), y), drawn(lambda layers: relative(layers[name](x), y)), "min-max")
        line(f"{name} through the block", case.through({name: flat[name]}), drawn(lambda layers: case.through({name: layers[name]})), "min-max")
    whole = drawn(case.through)
    line("whole", case.through(flat), whole, min(whole, key=lambda rounding: whole[rounding][0]))


def causal(module, query, key, value, mask, scaling=None, **_):
    repeat = module.num_key_value_groups
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1), is_causal=True, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", default="0", help="first blocks of the model, as 0,1")
    parser.add_argument("--epochs", type=int, default=4, help="of the training; 4 is the program's default, 15 the paper's")
    parser.add_argument("--samples", type=int, default=16, help="calibration items of 2048 tokens")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    text = common.wikitext2_test()
    if text is None:
        print("skipped: WikiText-2 is not found ($STAMP_DATA)")
        return
    import transformers
    blocks = [int(block) for block in arguments.blocks.split(",")]
    model = gguf_model.load(common.smollm2())
    transformers.AttentionInterface.register("plain_causal", causal)
    model.set_attn_implementation("plain_causal")
    ids = token_ids(text[:WINDOWS * TOKENS * 12])[:WINDOWS * TOKENS]
    checks = common.Checks(f"SmolLM2, W4A4, relative output errors on {WINDOWS} x {TOKENS} unseen tokens, behind the first token of each "
                           "(of the first tokens)")
    with tempfile.TemporaryDirectory() as folder:
        kept = trained(blocks, arguments, folder, arguments.threads)
    hidden = model.model.embed_tokens(torch.tensor(ids).reshape(WINDOWS, TOKENS))
    for number, block in enumerate(model.model.layers[:max(blocks) + 1]):
        case = Case(model, block, hidden)
        if number in blocks:
            header = kept[number]["header"]
            print(f"block {number}: training error {header['first']:.4g} before, {header['last']:.4g} after {arguments.epochs} epochs of "
                  f"{arguments.samples} x 2048 tokens")
            flat = flatquant_layers(block, kept[number], model.config)
            rotated = {name: [quarot_layers(block, model.config, seed, rounding) for seed in range(SEEDS)]
                       for name, rounding in (("min-max", min_max), ("clip search", round_weight))}
            # The learned clamp is no part of the folding.
            plain = flatquant_layers(block, kept[number] | {"weights": dict.fromkeys(LINEARS, (None, None))}, model.config)
            unrounded = max(max(error) for layers in (plain, rotated["min-max"][0]) for error in case.errors(layers, exact=True).values())
            checks.check(f"block {number}: folding", unrounded < 1e-8, f"relative squared error without rounding at most {unrounded:.1e}")
            compare(checks, number, case, flat, rotated)
        hidden = case.out
    checks.finish()


if __name__ == "__main__":
    main()
