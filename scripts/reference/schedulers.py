"""Schedules and denoising runs: ours against diffusers' own scheduler classes.

    .venv-reference/bin/python scripts/reference/schedulers.py

Every run denoises 64 numbers once with random model outputs and once with a model that answers to its sample. Whole
timesteps have to be the same, others within 1e-3; noise levels and every sample within 1e-5 of the largest number of
that step (specification models 17.4). Each scheduler is also given settings that we refuse, which must change diffusers' result:
otherwise the refusal would be idle.
"""
import json
import logging
import subprocess
import tempfile

import diffusers
import torch

import common

ELEMENTS = 64
VP = {"_class_name": "DPMSolverMultistepScheduler"}
FLOW = VP | {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
DDIM = {"_class_name": "DDIMScheduler", "clip_sample": False}
SCM = {"_class_name": "SCMScheduler"}
RUNS = [
    ("DPM-Solver++ noise", VP, [1, 2, 3, 5, 14, 15, 20, 50, 333, 999]),
    ("DPM-Solver++ noise, first order", VP | {"solver_order": 1}, [5, 20]),
    ("DPM-Solver++ noise, scaled_linear", VP | {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}, [20]),
    ("DPM-Solver++ noise, lower_order_final off", VP | {"lower_order_final": False}, [5]),
    ("DPM-Solver++ noise, 400 training steps", VP | {"num_train_timesteps": 400}, [7]),
    ("DPM-Solver++ flow 3", FLOW, [1, 2, 5, 14, 20, 28, 50, 100, 1000]),
    ("DPM-Solver++ flow 1", FLOW | {"flow_shift": 1.0}, [5, 20, 100]),
    ("DPM-Solver++ flow 6, first order", FLOW | {"flow_shift": 6.0, "solver_order": 1}, [20]),
    ("Euler 3", EULER, [1, 2, 5, 14, 20, 50]),
    ("Euler 1", EULER | {"shift": 1.0}, [5, 28]),
    ("DDIM", DDIM, [1, 5, 14, 20, 50, 250, 1000]),
    ("DDIM, clipped", DDIM | {"clip_sample": True}, [20]),
    ("DDIM, clipped to 2.5, last alpha of the schedule", DDIM | {"clip_sample": True, "clip_sample_range": 2.5, "set_alpha_to_one": False}, [20]),
    ("DDIM, offset 1, scaled_linear", DDIM | {"steps_offset": 1, "beta_schedule": "scaled_linear", "set_alpha_to_one": False}, [50]),
    ("SCM", SCM, [1, 2, 3, 4, 8]),
    ("SCM, sigma_data 0.8", SCM | {"sigma_data": 0.8}, [2]),
]
REFUSED = [
    (VP, {"use_karras_sigmas": True}), (VP, {"use_exponential_sigmas": True}), (VP, {"use_lu_lambdas": True}),
    (VP, {"thresholding": True}), (VP, {"solver_order": 3}), (VP, {"solver_type": "heun"}), (VP, {"timestep_spacing": "leading"}),
    (VP, {"timestep_spacing": "trailing"}), (VP, {"prediction_type": "v_prediction"}), (VP, {"prediction_type": "sample"}),
    (VP, {"final_sigmas_type": "sigma_min"}), (VP, {"rescale_betas_zero_snr": True}), (VP, {"lambda_min_clipped": -4.0}),
    (VP, {"beta_schedule": "squaredcos_cap_v2"}), (EULER, {"shift_terminal": 0.1}), (EULER, {"use_karras_sigmas": True}),
    (EULER, {"invert_sigmas": True}), (EULER, {"stochastic_sampling": True}), (DDIM, {"thresholding": True}),
    (DDIM, {"timestep_spacing": "trailing"}), (DDIM, {"prediction_type": "v_prediction"}),
]


def diffusers_run(config, steps, sample, outputs, noise):
    """Timesteps, noise levels and the sample after every step."""
    settings = {key: value for key, value in config.items() if key != "_class_name"}
    scheduler = getattr(diffusers, config["_class_name"])(**settings)
    if config["_class_name"] == "SCMScheduler" and steps != 2:
        scheduler.set_timesteps(steps, intermediate_timesteps=None)
    else:
        scheduler.set_timesteps(steps)
    times = scheduler.timesteps[:steps]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    # SCM draws its noise itself; the draws below are the same.
    more = {"generator": torch.Generator().manual_seed(7)} if noise is not None else {}
    trajectory = []
    for i, time in enumerate(times):
        output = 0.5 * sample + 0.01 * i if outputs is None else outputs[i]
        sample = scheduler.step(output, time, sample, **more, return_dict=False)[0]
        trajectory.append(sample.flatten())
    sigmas = scheduler.timesteps if noise is not None else getattr(scheduler, "sigmas", torch.empty(0))
    return times.double(), sigmas.double(), trajectory


def ours(config, steps, sample, outputs, noise):
    request = {"config": json.dumps(config), "steps": steps, "sample": sample.flatten().tolist()}
    if outputs is not None:
        request["outputs"] = [o.flatten().tolist() for o in outputs]
    if noise is not None:
        request["noise"] = [n.flatten().tolist() for n in noise]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(request, file)
        file.flush()
        run = subprocess.run([common.program("scheduler_dump"), file.name], capture_output=True, text=True)
    return (json.loads(run.stdout), "") if run.returncode == 0 else (None, run.stderr.strip())


def apart(ours_now, theirs):
    return (torch.tensor(ours_now, dtype=torch.float64) - theirs.double()).abs().max().item() / max(1e-30, theirs.abs().max().item())


def draws(config, steps):
    """A sample, model outputs and, for SCM, the noise that the reference's generator will draw."""
    generator = torch.Generator().manual_seed(steps)
    sample = torch.randn(1, 4, 4, 4, generator=generator)
    outputs = [torch.randn(1, 4, 4, 4, generator=generator) for _ in range(steps)]
    if config["_class_name"] != "SCMScheduler":
        return sample, outputs, None
    theirs = torch.Generator().manual_seed(7)
    return sample, outputs, [torch.randn(1, 4, 4, 4, generator=theirs) for _ in range(steps)]


def compare(checks, name, config, steps):
    sample, random_outputs, noise = draws(config, steps)
    for what, outputs in (("random outputs", random_outputs), ("answering model", None)):
        times, sigmas, trajectory = diffusers_run(config, steps, sample, outputs, noise)
        mine, error = ours(config, steps, sample, outputs, noise)
        label = f"{name}, {steps} steps, {what}"
        if mine is None:
            checks.check(label, False, error)
            continue
        whole = bool((times == times.round()).all())
        time_gap = (torch.tensor(mine["timesteps"], dtype=torch.float64) - times).abs().max().item()
        good = len(mine["timesteps"]) == steps and time_gap <= (0 if whole else 1e-3) and len(mine["sigmas"]) == len(sigmas)
        sigma_gap = apart(mine["sigmas"], sigmas) if good and len(sigmas) else 0
        gap = max(apart(a, b) for a, b in zip(mine["trajectory"], trajectory, strict=True))
        checks.check(label, good and sigma_gap < 1e-5 and gap < 1e-5, f"times {time_gap:.1g}, noise levels {sigma_gap:.1g}, samples {gap:.1g}")


def check_refused(checks, config, change):
    steps = 12
    sample, _, _ = draws(config, steps)
    _, _, plain = diffusers_run(config, steps, sample, None, None)
    _, _, changed = diffusers_run(config | change, steps, sample, None, None)
    moved = max(apart(b.tolist(), a) for a, b in zip(plain, changed, strict=True))
    mine, error = ours(config | change, steps, sample, None, None)
    key = next(iter(change))
    checks.check(f"{config['_class_name']} refuses {change}", mine is None and key in error and not moved < 1e-4, f"would move samples by {moved:.2g}")


def main():
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    checks = common.Checks(f"schedulers: ours against diffusers {diffusers.__version__}")
    for name, config, counts in RUNS:
        for steps in counts:
            compare(checks, name, config, steps)
    for config, change in REFUSED:
        check_refused(checks, config, change)
    checks.finish()


if __name__ == "__main__":
    main()
