"""Training of the image model: noise prediction on CIFAR-10, small images first, resumable to the bit.

A run of N steps is a function of its options and its seed alone (on one kind of machine with one number of threads): it may
be killed and continued any number of times. A run bounded by --minutes depends on the clock in its schedule, nothing else; it
may be stopped and continued by signals too: what is left of the plan is spread over what is left of the time.
"""
import json
import signal
import time
from dataclasses import dataclass

import torch

from dit import checkpoint, data
from dit.model import SIZES, TRAIN_STEPS, DiT, alpha_bars, ddim

STATE = "state.pt"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Plan:
    """Shares of the run by image side, and the batch at the full side; smaller images come in batches twice as large."""

    shares: tuple  # ((side, share), ...), shares sum to 1
    batch: int
    rate: float


# Most of a picture's layout is learned where a step costs a twentieth; the position table is made for any grid of tokens.
PLANS = {
    "tiny": Plan(((16, 0.5), (32, 0.5)), 8, 4e-3),
    "small": Plan(((8, 0.08), (16, 0.32), (32, 0.6)), 32, 4e-3),
    "base": Plan(((16, 0.2), (32, 0.8)), 256, 2e-3),
}
PAUSE = 60.0  # seconds; a step that takes longer was stopped in between
WARM_UP, DECAY_FROM = 50, 0.7  # steps; share of the run after which the rate falls linearly
DROPPED_LABELS = 0.1
SNR_LIMIT = 5.0  # min-SNR weighting: steps of little noise teach detail, and count less
EMA_POWER = 12.0  # the average reaches back over the last thirteenth of the steps
GRID_COLUMNS, GRID_STEPS, GRID_GUIDANCE = 3, 20, 2.0  # a look, at the price of few steps of training


class Muon:
    """Momentum whose update of a matrix has all singular values near one (five Newton-Schulz iterations), for the
    matrices within the blocks. Matrices of one shape are treated together. Scaled so that a rate means what it means
    to Adam: entries of size 0.2 times the rate."""

    MOMENTUM = 0.95

    def __init__(self, matrices):
        self.groups = {}
        for matrix in matrices:
            self.groups.setdefault(tuple(sorted(matrix.shape)), []).append(matrix)
        self.momenta = [torch.zeros_like(matrix) for group in self.groups.values() for matrix in group]

    @staticmethod
    def orthogonal(x):
        """[..., n, m], n <= m."""
        x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
        for _ in range(5):
            square = x @ x.mT
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        return x

    @torch.no_grad()
    def step(self, rate):
        momenta = iter(self.momenta)
        for (_, wide), group in self.groups.items():
            updates = []
            for matrix in group:
                momentum = next(momenta)
                momentum.lerp_(matrix.grad, 1 - self.MOMENTUM)
                update = matrix.grad.lerp(momentum, self.MOMENTUM)
                updates.append(update if update.shape[0] <= update.shape[1] else update.mT)
            for matrix, update in zip(group, self.orthogonal(torch.stack(updates))):
                update = update if matrix.shape[0] <= matrix.shape[1] else update.mT
                matrix.add_(update, alpha=-0.2 * rate * wide**0.5)


class Trainer:
    """Holds everything a run is at one of its steps. options: what the command line names."""

    def __init__(self, options):
        self.options, self.plan = options, PLANS[options.size]
        self.device = torch.device("cuda" if torch.cuda.is_available() and not options.cpu else "cpu")
        self.generator = torch.Generator().manual_seed(options.seed)
        self.config = SIZES[options.size]
        self.model = DiT(self.config).initialize(self.generator).to(self.device)
        self.ema = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        matrices = [value for name, value in self.named_matrices()]
        inside = {id(value) for value in matrices}
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW([value for value in self.model.parameters() if id(value) not in inside],
                                      lr=0.0, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        self.bars = alpha_bars()
        self.step = self.images = self.epoch = self.position = 0
        self.seconds = 0.0  # of the runs before this one
        self.done = self.looked = 0.0  # progress by the clock, and when it was looked at
        self.begun = time.monotonic()
        self.stop = False

    def named_matrices(self):
        return [(name, value) for name, value in self.model.named_parameters()
                if value.dim() == 2 and (".attn1." in name or ".ff." in name)]

    def elapsed(self):
        return self.seconds + time.monotonic() - self.begun

    def progress(self):
        """0 to 1; whichever bound comes first."""
        shares = [self.step / self.options.steps] if self.options.steps else []
        return min(1.0, max(shares + [self.done] if self.options.minutes else shares))

    def look(self):
        """Moves progress on by the time since the last look, as a share of the time that was left then."""
        if self.options.minutes:
            now, end = self.elapsed(), 60 * self.options.minutes
            if now >= end:
                self.done = 1.0
            elif now - self.looked < PAUSE:
                self.done += (1 - self.done) * (now - self.looked) / (end - self.looked)
            self.looked = now

    def side(self, progress):
        for side, share in self.plan.shares:
            if progress < share:
                return side
            progress -= share
        return self.plan.shares[-1][0]

    def rate(self, progress):
        peak = self.options.rate or self.plan.rate
        return peak * min((self.step + 1) / WARM_UP, (1 - progress) / (1 - DECAY_FROM) * 0.98 + 0.02, 1)

    # State

    def state(self):
        return {"options": {name: getattr(self.options, name) for name in ("size", "seed", "images")},
                "model": self.model.state_dict(), "ema": self.ema, "adam": self.adam.state_dict(), "muon": self.muon.momenta,
                "generator": self.generator.get_state(), "step": self.step, "images": self.images, "epoch": self.epoch,
                "position": self.position, "seconds": self.elapsed(), "done": self.done, "minutes": self.options.minutes}

    def save(self):
        path = self.options.output / STATE
        temporary = path.with_suffix(".part")
        torch.save(self.state(), temporary)
        temporary.replace(path)
        self.export(self.options.output / CHECKPOINT)

    def load(self):
        state = torch.load(self.options.output / STATE, map_location="cpu", weights_only=True)
        for name, value in state["options"].items():
            if getattr(self.options, name) != value:
                raise SystemExit(f"--{name} {getattr(self.options, name)}: the run in {self.options.output} has {value}")
        self.model.load_state_dict(state["model"])
        self.adam.load_state_dict(state["adam"])
        with torch.no_grad():
            for name, value in self.ema.items():
                value.copy_(state["ema"][name])
            for mine, theirs in zip(self.muon.momenta, state["muon"], strict=True):
                mine.copy_(theirs)
        self.generator.set_state(state["generator"])
        for name in ("step", "images", "epoch", "position", "seconds"):
            setattr(self, name, state[name])
        if self.options.minutes and state["minutes"]:
            self.done = min(1.0, state["done"] * state["minutes"] / self.options.minutes)
        self.looked = self.seconds
        # Lines of steps that will be taken again.
        path = self.options.output / LOG
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("".join(line + "\n" for line in lines if json.loads(line)["step"] <= self.step))

    def averaged(self):
        """The averaged model, for sampling and measuring."""
        model = DiT(self.config).to(self.device).eval()
        model.load_state_dict({**self.model.state_dict(), **self.full_ema()})
        return model

    def full_ema(self):
        """The average under every name; a shared tensor has one per block."""
        by_id = {id(value): self.ema[name] for name, value in self.model.named_parameters()}
        return {name: by_id[id(value)] for name, value in self.model.named_parameters(remove_duplicate=False)}

    def export(self, folder):
        checkpoint.write_pipeline(folder, self.config, self.full_ema(), torch.float32 if self.options.size != "base" else torch.bfloat16)

    # Steps

    def batch(self, count):
        """Images and labels in the order of epoch and position: every image once an epoch."""
        picked = []
        while sum(map(len, picked)) < count:
            order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(self.options.seed * 100003 + self.epoch))
            part = order[self.position : self.position + count - sum(map(len, picked))]
            picked.append(part)
            self.position += len(part)
            if self.position == len(order):
                self.epoch, self.position = self.epoch + 1, 0
        index = torch.cat(picked)
        return self.pixels[index], self.labels[index]

    def noised(self, clean, u, noise):
        """Timesteps spread evenly over the batch from one number each; the noisy images."""
        count = len(clean)
        t = ((torch.arange(count) + u) * (TRAIN_STEPS / count)).long().clamp(max=TRAIN_STEPS - 1)
        bar = self.bars[t][:, None, None, None]
        weight = (SNR_LIMIT * (1 - self.bars[t]) / self.bars[t]).clamp(max=1)
        return t, bar.sqrt() * clean + (1 - bar).sqrt() * noise, weight

    def loss(self, model, noisy, t, labels, noise, weight):
        """(weighted, plain) mean squared errors of the noise."""
        eps = model(noisy.to(self.device), t.to(self.device), labels.to(self.device))
        errors = (eps.float() - noise.to(self.device)).square().mean((1, 2, 3))
        return (errors * weight.to(self.device)).mean(), errors.detach().mean()

    def train_step(self):
        progress = self.progress()
        side, rate, random = self.side(progress), self.rate(progress), self.generator
        count = (self.options.batch or self.plan.batch) * min(2, data.SIDE // side)
        images, labels = self.batch(count)
        flip = torch.rand(count, generator=random) < 0.5
        clean = data.to_float(torch.where(flip[:, None, None, None], images.flip(3), images), side)
        labels = torch.where(torch.rand(count, generator=random) < DROPPED_LABELS, self.config.none, labels)
        noise = torch.randn(clean.shape, generator=random)
        t, noisy, weight = self.noised(clean, torch.rand(count, generator=random), noise)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            weighted, plain = self.loss(self.model, noisy, t, labels, noise, weight)
        weighted.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()
        self.muon.step(rate)
        self.model.zero_grad()
        self.step += 1
        self.images += count
        keep = (1 - 1 / (self.step + 1)) ** (EMA_POWER + 1)
        with torch.no_grad():
            values = dict(self.model.named_parameters())
            torch._foreach_lerp_(list(self.ema.values()), [values[name] for name in self.ema], 1 - keep)
        return weighted.item(), plain.item(), side, rate

    @torch.no_grad()
    def held_out(self, model, side):
        """Losses of the same 256 test images with the same noise each time."""
        generator = torch.Generator().manual_seed(7)
        totals = torch.zeros(2)
        for images, labels in zip(self.test[0].split(32), self.test[1].split(32)):
            clean = data.to_float(images, side)
            noise = torch.randn(clean.shape, generator=generator)
            t, noisy, weight = self.noised(clean, torch.rand(len(labels), generator=generator), noise)
            totals += torch.stack(self.loss(model, noisy, t, labels, noise, weight)).cpu() * len(labels) / len(self.test[1])
        return totals.tolist()

    @torch.no_grad()
    def grid(self, model, side):
        generator = torch.Generator().manual_seed(11)
        noise = torch.randn(10 * GRID_COLUMNS, 3, side, side, generator=generator).to(self.device)
        labels = torch.arange(10, device=self.device).repeat_interleave(GRID_COLUMNS)
        images = ddim(model, noise, labels, GRID_STEPS, GRID_GUIDANCE)
        data.write_grid(self.options.output / "grids" / f"step_{self.step:06}.png", images, GRID_COLUMNS, 96 // side)

    def record(self, **fields):
        line = {"step": self.step, "seconds": round(self.elapsed(), 1), "images": self.images, **fields}
        with open(self.options.output / LOG, "a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        print("  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in line.items()), flush=True)

    def evaluate(self, side):
        model = self.averaged()
        weighted, plain = self.held_out(model, side)
        self.record(side=side, held_out=weighted, held_out_noise=plain)
        self.grid(model, side)

    def run(self):
        options = self.options
        self.pixels, self.labels = data.load(options.data, "train", options.images)
        test, labels = data.load(options.data, "test", options.images)
        chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))[:256]
        self.test = test[chosen], labels[chosen]
        signal.signal(signal.SIGTERM, self.on_signal)
        signal.signal(signal.SIGINT, self.on_signal)
        self.look()
        begun_at, window, shown, evaluated, side = self.elapsed(), [], self.elapsed(), self.elapsed(), None
        print(f"{sum(map(torch.Tensor.numel, self.model.parameters())):,} parameters, {len(self.labels):,} images, {self.device}", flush=True)
        while self.progress() < 1 and not self.stop:
            if options.grid_minutes and side not in (None, self.side(self.progress())):
                self.evaluate(side)  # the last look at the smaller images
            weighted, plain, side, rate = self.train_step()
            self.look()
            window.append((weighted, plain))
            if self.step % options.log_every == 0:
                now = self.elapsed()
                means = torch.tensor(window).mean(0).tolist()
                self.record(side=side, loss=means[0], noise_loss=means[1], rate=rate, steps_per_second=len(window) / (now - shown))
                window, shown = [], now
            if self.step % options.save_every == 0:
                self.save()
            if options.grid_minutes and self.elapsed() - evaluated > 60 * options.grid_minutes:
                self.evaluate(side)
                evaluated = self.elapsed()
        if side is None:
            print(f"{options.output}: this run is complete; give more --steps or --minutes")
            return
        self.save()
        if options.grid_minutes and not self.stop:
            self.evaluate(side)
        print(f"stopped at step {self.step} after {self.elapsed() - begun_at:.0f} s", flush=True)

    def on_signal(self, *_):
        self.stop = True
