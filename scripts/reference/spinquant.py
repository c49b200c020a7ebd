#!/usr/bin/env python3
"""SpinQuant's training against an eager PyTorch program: transformers' Llama, torch's autograd, a NumPy Cayley step.

    scripts/reference.sh spinquant
    scripts/reference/spinquant.py --golden      prints the step that tests/unit/training/test_cayley.cpp holds

On the tiny Llama of ../shared/fixtures with biases everywhere: the quantized loss, its gradient by R1 and by every R2, and
five steps of training. Weights are folded here in float64, as the published program does, and rounded to float32; ours are
folded in float32. One Cayley step is also held against the exact Cayley retraction of geoopt (pip install geoopt), where it
is installed. Needs the program spinquant_dump ($STAMP_BUILD/bin).
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np

STEPS = 5


def qr_rows(p):
    q, r = np.linalg.qr(p.T)
    return (q * np.sign(np.diag(r))).T


def cayley_step(p, gradient, rate):
    """Specification methods 7, momentum 0, without the random re-orthogonalization."""
    u = p / np.linalg.norm(p, axis=1, keepdims=True)
    v = -gradient.T
    a = v @ u
    a = a - 0.5 * u.T @ (u @ a)
    s = a - a.T
    alpha = min(rate, 1 / (np.abs(s).sum(axis=0).max() + 1e-8))
    y = u.T + alpha * v
    for _ in range(5):
        y = u.T + alpha * s @ (u.T + y) / 2
    return y.T


def golden():
    p = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    g = np.array([[0.5, -1.0, 0.25], [2.0, 0.125, -0.75], [-0.5, 1.5, 1.0]])
    for row in cayley_step(p, g, 0.2):
        print("{" + ", ".join(repr(float(value)) for value in row) + "},")


if "--golden" in sys.argv:
    golden()
    sys.exit(0)

import torch  # noqa: E402
import transformers  # noqa: E402

import common  # noqa: E402


def read_safetensors(path):
    """Metadata and float32 or int64 tensors."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start = file.tell()
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            file.seek(start + entry["data_offsets"][0])
            raw = file.read(entry["data_offsets"][1] - entry["data_offsets"][0])
            kind = {"F32": np.float32, "I64": np.int64}[entry["dtype"]]
            tensors[name] = torch.from_numpy(np.frombuffer(raw, kind).reshape(entry["shape"]).copy())
    return header["__metadata__"], tensors


def load(path):
    metadata, tensors = read_safetensors(path)
    settings = json.loads(metadata["config"])
    settings.pop("model_type")
    settings["rope_parameters"] = {"rope_type": "default", "rope_theta": settings.pop("rope_theta")}
    settings.pop("rope_scaling")
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))
    state = {name: value for name, value in tensors.items() if not name.startswith(("in.", "out."))}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise SystemExit(f"{path}: tensors do not fit: missing {missing}, unexpected {unexpected}")
    model.requires_grad_(False)
    return model.eval(), tensors["in.ids"]


def rounded(x, bits):
    """Asymmetric min-max grid over the last dimension, integer zero point; the gradient passes unchanged."""
    if bits >= 16:
        return x
    steps = 2**bits - 1
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    step = (high - low) / steps
    zero = torch.round(-low / step)
    grid = step * (torch.clamp(torch.round(x / step) + zero, 0, steps) - zero)
    return x + (grid - x).detach()


def rounded_weight(w, bits):
    """Symmetric per row."""
    top = 2 ** (bits - 1) - 1
    step = w.abs().amax(1, keepdim=True) / top
    return w + (step * torch.clamp(torch.round(w / step), -top - 1, top) - w).detach()


class Program:
    """A transformers model whose weights are functions of the rotations, quantizers at the inputs of its linear layers."""

    def __init__(self, model, key, down, bits, weight_bits):
        self.model, self.key, self.down, self.weight_bits = model, key, down, weight_bits
        self.plain = {name: value.clone() for name, value in model.state_dict().items()}
        self.hd = model.config.head_dim
        turned = down.float()
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                last = name.endswith("down_proj")
                module.register_forward_pre_hook(
                    lambda _, args, last=last: (rounded(args[0] @ turned if last else args[0], bits),))
        rotate = key.float()

        def attention(module, query, keys, values, mask, scaling=None, **_):
            keys, values = rounded(keys @ rotate, bits), rounded(values, bits)
            repeat = module.num_key_value_groups
            out = torch.nn.functional.scaled_dot_product_attention(
                query @ rotate, keys.repeat_interleave(repeat, 1), values.repeat_interleave(repeat, 1), is_causal=True,
                scale=scaling)
            return out.transpose(1, 2).contiguous(), None

        transformers.AttentionInterface.register("rotated_caches", attention)
        model.set_attn_implementation("rotated_caches")
        # The final norm's output goes back to the basis of the head.
        model.model.norm.register_forward_hook(lambda _, __, out: out @ self.back)

    def folded(self, r1, r2):
        """float64 products of all weights with the rotations, as float32."""
        out = {name: value.double() for name, value in self.plain.items()}
        gamma = out["model.norm.weight"]
        out["lm_head.weight"] = out["lm_head.weight"] * gamma
        out["model.norm.weight"] = torch.ones_like(gamma)
        out["model.embed_tokens.weight"] = out["model.embed_tokens.weight"] @ r1
        for layer, head in enumerate(r2):
            p = f"model.layers.{layer}."
            values = torch.block_diag(*[head] * self.model.config.num_key_value_heads)
            outputs = torch.block_diag(*[head] * self.model.config.num_attention_heads)
            norms = {"self_attn": "input_layernorm", "mlp": "post_attention_layernorm"}
            for part, names in (("self_attn", "q_proj k_proj v_proj"), ("mlp", "gate_proj up_proj")):
                for name in names.split():
                    weight = f"{p}{part}.{name}.weight"
                    out[weight] = (out[weight] * out[f"{p}{norms[part]}.weight"]) @ r1
            for norm in norms.values():
                out[f"{p}{norm}.weight"] = torch.ones_like(out[f"{p}{norm}.weight"])
            out[p + "self_attn.v_proj.weight"] = values.T @ out[p + "self_attn.v_proj.weight"]
            out[p + "self_attn.v_proj.bias"] = out[p + "self_attn.v_proj.bias"] @ values
            out[p + "self_attn.o_proj.weight"] = r1.T @ out[p + "self_attn.o_proj.weight"] @ outputs
            out[p + "mlp.down_proj.weight"] = r1.T @ out[p + "mlp.down_proj.weight"] @ self.down
            for bias in (p + "self_attn.o_proj.bias", p + "mlp.down_proj.bias"):
                out[bias] = out[bias] @ r1
        out = {name: value.float() for name, value in out.items()}
        if self.weight_bits < 16:
            for name in out:
                if name.endswith("_proj.weight"):
                    out[name] = rounded_weight(out[name], self.weight_bits)
        return out

    def loss(self, ids, r1, r2):
        self.back = r1.T.float()
        logits = torch.func.functional_call(self.model, self.folded(r1, r2), (ids,), {"use_cache": False}).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    def gradient(self, ids, r1, r2):
        parameters = [torch.tensor(r, dtype=torch.float64, requires_grad=True) for r in [r1, *r2]]
        loss = self.loss(ids, parameters[0], parameters[1:])
        loss.backward()
        return loss.item(), [parameter.grad.numpy() for parameter in parameters]


def matrices(answer):
    square = lambda values: np.array(values).reshape(int(len(values) ** 0.5), -1)
    return [square(answer["residual"])] + [square(head) for head in answer["heads"]]


def gap(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def run(path, ids, bits, weight_bits):
    with tempfile.TemporaryDirectory() as folder:
        sequences = os.path.join(folder, "sequences.json")
        with open(sequences, "w", encoding="ascii") as file:
            json.dump(ids.tolist(), file)
        out = subprocess.run([common.program("spinquant_dump"), path, sequences, str(bits), str(weight_bits), str(STEPS)],
                             check=True, capture_output=True).stdout
    return json.loads(out)


def against_geoopt(checks, p, gradient, rate, ours):
    try:
        import geoopt
    except ImportError:
        print("  left out: geoopt is not installed")
        return
    half = -0.5 * gradient.T @ p
    s = half - half.T
    alpha = min(rate, 1 / (np.abs(s).sum(axis=0).max() + 1e-8))
    x = torch.tensor(p.T.copy())
    # Its tangent vectors u stand for the skew matrix u x^T - x u^T.
    exact = geoopt.CanonicalStiefel().retr(x, 0.5 * alpha * torch.tensor(s) @ x).numpy()
    contraction = alpha * np.linalg.norm(s, 2) / 2
    allowed = contraction**5 * np.linalg.norm(p.T - alpha * gradient.T - exact, 2)
    missed = np.linalg.norm(ours.T - exact, 2)
    checks.check("one Cayley step against geoopt's exact retraction", missed <= allowed * (1 + 1e-6) + 1e-12,
                 f"{missed:.1e} apart, five iterations allow {allowed:.1e}")


def main():
    path = os.path.join(common.REPOSITORY, "..", "shared", "fixtures", "llama_tiny_untied_bias.safetensors")
    if not os.path.exists(path):
        print(f"skipped: {os.path.relpath(path, common.REPOSITORY)} is absent")
        return
    checks = common.Checks("SpinQuant's training on a tiny Llama against eager PyTorch")
    for bits, weight_bits in ((4, 16), (4, 4), (16, 16)):
        model, ids = load(path)
        answer = run(path, ids, bits, weight_bits)
        square = lambda values: torch.tensor(values, dtype=torch.float64).reshape(int(len(values) ** 0.5), -1)
        program = Program(model, square(answer["key"]), square(answer["down"]), bits, weight_bits)
        parameters = matrices(answer["rotations"])
        loss, gradients = program.gradient(ids, parameters[0], parameters[1:])
        ours = matrices(answer["gradient"])
        name = f"A{bits} KV{bits} W{weight_bits}"
        loss_gap = abs(answer["loss"] - loss) / loss
        checks.check(f"{name}: loss", loss_gap <= 2e-6, f"{answer['loss']:.6f}, {loss_gap:.1e} apart")
        for i, (a, b) in enumerate(zip(ours, gradients)):
            which = "R1" if i == 0 else f"R2 of block {i - 1}"
            checks.check(f"{name}: gradient by {which}", gap(a, b) <= 1e-4, f"{gap(a, b):.1e} of its largest value {np.abs(b).max():.2e}")
        rate = answer["rate"]
        stepped = matrices({"residual": answer["stepped"], "heads": []})[0]
        plain = cayley_step(parameters[0], ours[0], rate)
        checks.check(f"{name}: Cayley step in float64", gap(stepped, plain) <= 1e-13, f"{gap(stepped, plain):.1e}")
        if bits < 16:
            against_geoopt(checks, parameters[0], ours[0], rate, stepped)
        losses = []
        for step in range(STEPS):
            loss, gradients = program.gradient(ids, parameters[0], parameters[1:])
            losses.append(loss)
            now = rate * (1 + np.cos(np.pi * step / STEPS)) / 2
            moved = [cayley_step(p, g, now) for p, g in zip(parameters, gradients)]
            parameters = [qr_rows(p) if np.abs(p @ p.T - np.eye(len(p))).max() > 1e-6 else p for p in moved]
        curve_gap = max(abs(a - b) / b for a, b in zip(answer["trained"]["losses"], losses))
        checks.check(f"{name}: losses of {STEPS} steps", curve_gap <= 1e-4,
                     f"{' '.join(f'{value:.4f}' for value in losses)}, {curve_gap:.1e} apart")
    checks.finish()


if __name__ == "__main__":
    main()
