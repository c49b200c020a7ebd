"""Files of the image model: safetensors, and the folder that diffusers calls a pipeline.

    model_index.json
    scheduler/scheduler_config.json
    transformer/config.json
    transformer/diffusion_pytorch_model.safetensors
"""
import json
import struct

import torch

from dit.model import TRAIN_STEPS, Config, DiT

TYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64", torch.float64: "F64", torch.uint8: "U8"}
DIFFUSERS = "0.42.1"  # the release whose fields these are
SCHEDULER = {
    "_class_name": "DDIMScheduler", "_diffusers_version": DIFFUSERS, "beta_end": 0.02, "beta_schedule": "linear",
    "beta_start": 0.0001, "clip_sample": False, "num_train_timesteps": TRAIN_STEPS, "prediction_type": "epsilon",
    "set_alpha_to_one": True, "steps_offset": 0, "timestep_spacing": "leading", "trained_betas": None,
}


def write_safetensors(path, tensors, metadata=None):
    header, offset = {"__metadata__": {"format": "pt", **(metadata or {})}}, 0
    for name in sorted(tensors):
        size = tensors[name].numel() * tensors[name].element_size()
        header[name] = {"dtype": TYPES[tensors[name].dtype], "shape": list(tensors[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):  # one at a time: large models are converted with this too
            tensor = tensors[name].detach().cpu().contiguous()
            out.write(tensor.view(torch.uint8 if tensor.dim() else tensor.dtype).numpy().tobytes())
    temporary.replace(path)


def read_safetensors(path):
    """({name: tensor}, metadata)"""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata, types = header.pop("__metadata__", {}), {name: type_ for type_, name in TYPES.items()}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(bytearray(data[8 + length + begin : 8 + length + end]), dtype=types[entry["dtype"]])
        tensors[name] = values.view(entry["shape"])
    return tensors, metadata


def write_json(path, fields):
    path.write_text(json.dumps(fields, indent=2) + "\n")


def write_pipeline(folder, config, state, dtype):
    """state: a state_dict of DiT. Written whole before the old weights are replaced."""
    for name in ("transformer", "scheduler"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "transformer" / "diffusion_pytorch_model.safetensors",
                      {name: tensor.to(dtype) for name, tensor in state.items()})
    write_json(folder / "transformer" / "config.json", {**config.json(), "_diffusers_version": DIFFUSERS})
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(folder / "model_index.json", {
        "_class_name": "DiTPipeline", "_diffusers_version": DIFFUSERS, "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"], "vae": [None, None]})


def model_of(config, tensors):
    """The model in float32, ready to sample. Blocks share one embedder where their copies are equal."""
    def first(tensor_name):
        return tensors["transformer_blocks.0." + tensor_name.split(".", 2)[2]]

    shared = all(torch.equal(tensor, first(name)) for name, tensor in tensors.items() if ".norm1.emb." in name)
    model = DiT(config, shared)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval()


def read_pipeline(folder):
    path = folder / "transformer"
    if not (path / "config.json").exists():
        raise FileNotFoundError(f"{path / 'config.json'} is missing: name the folder of a pipeline, which holds transformer/")
    tensors, _ = read_safetensors(path / "diffusion_pytorch_model.safetensors")
    return model_of(Config.of(json.loads((path / "config.json").read_text())), tensors)
