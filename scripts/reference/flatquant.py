"""One FlatQuant block, eagerly: its quantized output, loss and every gradient with torch.autograd, against flatquant_dump.

Written from the formulas (specification methods 1.2, 1.3, 8) in dense matrices: transforms are multiplied out with
torch.kron, the straight-through round is x + (round(x) - x).detach(). tests/unit/training/flatquant_case.h makes the same
numbers; --golden prints what tests/unit/training/test_flatquant.cpp holds.
"""
import json
import subprocess
import sys

import torch

import common


def numbers(shape, k, scale=1.0, shift=0.0):
    count = 1
    for n in shape:
        count *= n
    i = torch.arange(count, dtype=torch.float64)
    return (scale * ((7919 * i + 104729 * k) % 2003 / 2003 - 0.5) + shift).reshape(shape)


def floats(*arguments):
    return numbers(*arguments).float()


def ste(x):
    return x + (torch.round(x) - x).detach()


def symmetric(x, low, high):
    """Rows of x on the 4-bit symmetric grid, with factors on the ends of their range."""
    limit = torch.maximum(-x.amin(-1, True).clamp_max(0) * low, x.amax(-1, True).clamp_min(0) * high)
    return limit / 7 * ste(x / (limit / 7)).clamp(-8, 7)


def asymmetric(x, low, high):
    low, high = x.amin(-1, True).clamp_max(0) * low, x.amax(-1, True).clamp_min(0) * high
    step = (high - low) / 15
    zero = ste(-low / step)
    return step * ((ste(x / step) + zero).clamp(0, 15) - zero)


def clamp_rows(w, low, high):
    low, high = w.amin(1, True) * low[:, None], w.amax(1, True) * high[:, None]
    return torch.minimum(torch.maximum(w, low), high)


def main():
    w = {"attention_norm": floats([12], 1, 0.4, 1), "feed_forward_norm": floats([12], 2, 0.4, 1)}
    for k, (name, shape) in enumerate(
        [("q", [16, 12]), ("k", [8, 12]), ("v", [8, 12]), ("o", [12, 16]), ("gate", [18, 12]), ("up", [18, 12]), ("down", [12, 18])], 3
    ):
        w[name] = floats(shape, k)
    w["q_bias"], w["k_bias"], w["v_bias"] = floats([16], 10), floats([8], 11), floats([8], 12)
    x, target = floats([2, 5, 12], 13, 4), floats([2, 5, 12], 14, 4)

    leaves, stream = {}, 20

    def leaf(name, value):
        leaves[name] = value.clone().requires_grad_()

    def matrix(name, n):
        nonlocal stream
        value = numbers([n, n], stream, 0.6) + torch.eye(n, dtype=torch.float64)
        stream += 1
        leaf(name, value)
        leaf(name + "_inverse", torch.linalg.inv(value))

    for name, left, right in [("qkv", 2, 6), ("gate_up", 2, 6), ("down", 3, 6)]:
        matrix(name + "_left", left)
        matrix(name + "_right", right)
        leaf(name + "_diagonal", numbers([left * right], stream, 0.8, 1))
        stream += 1
    for name in ["heads", "key", "value"]:
        matrix(name, 4)
    for name in ["qkv", "key", "value", "output", "gate_up", "down"]:
        for end in ["low", "high"]:
            leaf(f"{name}_clip_{end}", numbers([1], stream, 0.1, 0.85))
            stream += 1
    for name, rows in [("q", 16), ("k", 8), ("v", 8), ("o", 12), ("gate", 18), ("up", 18), ("down", 12)]:
        for end in ["low", "high"]:
            leaf(f"{name}_rows_{end}", numbers([rows], stream, 0.2, 0.85))
            stream += 1
    p = {name: value.float() for name, value in leaves.items()}
    eye = torch.eye

    def clip(site):
        return p[site + "_clip_low"], p[site + "_clip_high"]

    def site(x, name, whole):
        return symmetric(x @ whole, *clip(name))

    def rows(name, weight, whole_inverse):
        return clamp_rows(weight @ whole_inverse.T, p[name + "_rows_low"], p[name + "_rows_high"])

    def minmax(weight):
        return symmetric(weight, torch.ones(()), torch.ones(()))

    def norm(x, weight):
        return x / torch.sqrt((x * x).mean(-1, True) + 1e-5) * weight

    def kron(name):
        """diag(c) (left (x) right) and its inverse, dense."""
        c = p[name + "_diagonal"]
        whole = torch.diag(c) @ torch.kron(p[name + "_left"], p[name + "_right"])
        inverse = torch.kron(p[name + "_left_inverse"], p[name + "_right_inverse"]) @ torch.diag(1 / c)
        return whole, inverse

    qkv, qkv_inverse = kron("qkv")
    a = site(norm(x, w["attention_norm"]), "qkv", qkv)
    values = torch.kron(eye(2), p["value"])
    q = a @ minmax(rows("q", w["q"], qkv_inverse)).T + w["q_bias"]
    k = a @ minmax(rows("k", w["k"], qkv_inverse)).T + w["k_bias"]
    v = a @ minmax(values.T @ rows("v", w["v"], qkv_inverse)).T + w["v_bias"] @ values

    def heads(t):
        return t.reshape(2, 5, -1, 4).transpose(1, 2)

    angle = torch.arange(5.0)[:, None] * torch.tensor([1.0, 0.1])
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)

    def rope(t):
        return t * cos + torch.cat([-t[..., 2:], t[..., :2]], -1) * sin

    q = rope(heads(q)) @ p["key_inverse"].T
    k = asymmetric(rope(heads(k)) @ p["key"], *clip("key"))
    v = asymmetric(heads(v), *clip("value"))
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    scores = (q @ k.transpose(-1, -2) * 0.5).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    attended = (scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 5, 16)
    attended = site(attended, "output", torch.kron(p["heads"], eye(4)))
    o = minmax(rows("o", w["o"], torch.kron(p["heads_inverse"], p["value_inverse"])))
    middle = x + attended @ o.T
    gate_up, gate_up_inverse = kron("gate_up")
    m = site(norm(middle, w["feed_forward_norm"]), "gate_up", gate_up)
    gate = m @ minmax(rows("gate", w["gate"], gate_up_inverse)).T
    up = m @ minmax(rows("up", w["up"], gate_up_inverse)).T
    down, down_inverse = kron("down")
    f = site(torch.nn.functional.silu(gate) * up, "down", down)
    out = middle + f @ minmax(rows("down", w["down"], down_inverse)).T
    loss = ((out - target) ** 2).mean()
    loss.backward()

    if "--golden" in sys.argv:
        print(f"loss {loss.item():.7g}")
        for name, value in leaves.items():
            g = value.grad.double()
            print(f'      {{"{name}", {{{g.norm().item():.6g}, {g.flatten()[0].item():.6g}}}}},')
        return

    checks = common.Checks("FlatQuant: one block against torch.autograd")
    ours = json.loads(subprocess.run([common.program("flatquant_dump")], capture_output=True, text=True, check=True).stdout)
    difference = (torch.tensor(ours["output"]) - out.detach().flatten().double()).abs().max().item()
    checks.check("output", difference < 1e-5, f"largest difference {difference:.2g} of {out.abs().max().item():.3g}")
    checks.check("loss", abs(ours["loss"] - loss.item()) < 1e-5 * loss.item(), f"{ours['loss']:.7g}, torch {loss.item():.7g}")
    worst = 0.0
    for name, value in leaves.items():
        mine, theirs = torch.tensor(ours["gradients"][name], dtype=torch.float64), value.grad.flatten().double()
        # Sums of float32 terms that cancel: against the size of the whole gradient.
        relative = ((mine - theirs).abs().max() / theirs.norm()).item() if mine.numel() else float("inf")
        worst = max(worst, relative)
        if relative >= 1e-4:
            checks.check(f"gradient of {name}", False, f"relative difference {relative:.2g}")
    checks.check(f"gradients of {len(leaves)} parameters", worst < 1e-4, f"largest relative difference {worst:.2g}")
    checks.finish()


if __name__ == "__main__":
    main()
