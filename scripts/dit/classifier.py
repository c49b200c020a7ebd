"""A small classifier of CIFAR-10: the class accuracy of samples, and features for a Frechet distance.

    x [B, 3, 32, 32] in [-1, 1]
    conv.0  4x4, stride 2, padding 1,   3 ->  32    ReLU                 16x16
    conv.1  3x3, padding 1,            32 ->  64    ReLU, max pool 2x2    8x8
    conv.2  3x3, padding 1,            64 -> 128    ReLU, max pool 2x2    4x4
    conv.3  3x3, padding 1,           128 -> 128    ReLU, + its input     4x4
    conv.4  3x3, padding 1,           128 -> 128    ReLU, mean over the 4x4: the 128 features
    linear  128 -> 10

Every convolution has a bias. Training uses batch normalization behind each; the file holds it folded into the weights.
The distance is of this network's features: it compares models of this repository, and is no FID.
"""
import time

import torch
import torch.nn.functional as F
from torch import nn

from dit import checkpoint, data

WIDTHS = ((3, 32), (32, 64), (64, 128), (128, 128), (128, 128))
FEATURES = WIDTHS[-1][1]
BATCH, PEAK_RATE, SMOOTHING, SHIFT = 128, 4e-3, 0.05, 3


class Classifier(nn.Module):
    def __init__(self, normalized=False):
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(a, b, 3 if i else 4, 1 if i else 2, 1) for i, (a, b) in enumerate(WIDTHS))
        self.norm = nn.ModuleList(nn.BatchNorm2d(b) for _, b in WIDTHS) if normalized else [nn.Identity()] * len(WIDTHS)
        self.linear = nn.Linear(FEATURES, len(data.CLASSES))

    def features(self, x):
        def layer(i, values):
            return F.relu(self.norm[i](self.conv[i](values)))

        x = F.max_pool2d(layer(1, layer(0, x)), 2)
        x = F.max_pool2d(layer(2, x), 2)
        x = x + layer(3, x)
        return layer(4, x).mean((2, 3))

    def forward(self, x):
        return self.linear(self.features(x))

    @torch.no_grad()
    def folded(self):
        """The same function of evaluation mode without normalization."""
        plain = Classifier()
        for mine, norm, other in zip(self.conv, self.norm, plain.conv):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            other.weight.copy_(mine.weight * scale[:, None, None, None])
            other.bias.copy_((mine.bias - norm.running_mean) * scale + norm.bias)
        plain.linear.load_state_dict(self.linear.state_dict())
        return plain.eval()


@torch.no_grad()
def apply(function, images):
    """Of uint8 images, in pieces."""
    return torch.cat([function(data.to_float(part)) for part in images.split(500)])


def accuracy(model, images, labels):
    return (apply(model, images).argmax(1) == labels).float().mean().item()


def augment(images, generator):
    """Random flips, and one shift of up to three pixels for the batch."""
    flip = torch.rand(len(images), generator=generator) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    up, left = torch.randint(2 * SHIFT + 1, (2,), generator=generator).tolist()
    return F.pad(images, (SHIFT,) * 4, mode="reflect")[:, :, up : up + data.SIDE, left : left + data.SIDE]


def train(options):
    """Trains for options.epochs, or for the share of them that options.minutes allow, and writes options.output."""
    generator = torch.Generator().manual_seed(options.seed)
    torch.manual_seed(options.seed)  # the layers' own initialization
    images, labels = data.load(options.data, "train", options.images)
    model = Classifier(normalized=True).to(memory_format=torch.channels_last)  # a third faster
    decayed = [value for value in model.parameters() if value.dim() > 1]
    others = [value for value in model.parameters() if value.dim() == 1]
    adam = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], lr=0.0, fused=True)
    steps, begun, step, stop = options.epochs * (len(labels) // BATCH), time.monotonic(), 0, False
    while not stop and step < steps:
        for index in torch.randperm(len(labels), generator=generator).split(BATCH)[: len(labels) // BATCH]:
            progress = max(step / steps, (time.monotonic() - begun) / (60 * options.minutes) if options.minutes else 0)
            if progress >= 1:
                stop = True
                break
            for group in adam.param_groups:
                group["lr"] = PEAK_RATE * min(progress / 0.15 + 0.02, (1 - progress) / 0.85 + 0.002)
            clean = data.to_float(augment(images[index], generator))
            scores = model(clean.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(scores, labels[index], label_smoothing=SMOOTHING)
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
            if step % 50 == 0:
                print(f"step {step} of {steps}  seconds {time.monotonic() - begun:.0f}  loss {loss.item():.3f}", flush=True)
    # Judged as it is stored.
    state = {name: value.half() for name, value in model.eval().folded().state_dict().items()}
    stored = Classifier().eval()
    stored.load_state_dict({name: value.float() for name, value in state.items()})
    measured = {"steps": str(step), "batch": str(BATCH), "seed": str(options.seed), "images": options.images,
                "seconds": f"{time.monotonic() - begun:.0f}"}
    for kind in ("jpeg", "exact") if options.images != "random" else ("random",):
        measured[f"test_accuracy_{kind}"] = f"{accuracy(stored, *data.load(options.data, 'test', kind)):.4f}"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_safetensors(options.output, state, {**measured, "architecture": "scripts/dit/classifier.py"})
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, " + ", ".join(f"{k} {v}" for k, v in measured.items()))


def read(path):
    """(the classifier, what was measured when it was written)"""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: train it with train_dit.py classifier")
    tensors, metadata = checkpoint.read_safetensors(path)
    model = Classifier()
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return model.eval(), metadata


def frechet(a, b):
    """|m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)) of features [N, D] in float64. Biased upwards for small N: compare only
    distances of one N."""
    a, b = a.double(), b.double()

    def root(matrix):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ (values.clamp(min=0).sqrt()[:, None] * vectors.T)

    first, second = torch.cov(a.T), torch.cov(b.T)
    half = root(first)
    crossed = torch.linalg.eigvalsh(half @ second @ half).clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * crossed).item()
