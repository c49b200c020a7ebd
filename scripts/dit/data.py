"""CIFAR-10 from the files of the shared data folder: images [N, 3, 32, 32] uint8 and labels [N] int64."""
import gzip
import io
import struct

import numpy as np
import torch
import torch.nn.functional as F

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
PIXELS = 3 * SIDE * SIDE
FILES = {
    ("train", "jpeg"): "train_50000_jpeg_q75.bin.gz",
    ("test", "jpeg"): "test_10000_jpeg_q75.bin.gz",
    ("train", "exact"): "train_4000.bin",
    ("test", "exact"): "test_1000.bin",
}


def exact(path):
    """Records of one label and 1,024 bytes of red, green and blue each."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    if data.size == 0 or data.size % (1 + PIXELS):
        raise ValueError(f"{path}: {data.size} bytes; whole records of {1 + PIXELS} bytes are expected")
    records = data.reshape(-1, 1 + PIXELS)
    return torch.tensor(records[:, 1:]).view(-1, 3, SIDE, SIDE), torch.tensor(records[:, 0], dtype=torch.int64)


def jpeg(path, limit):
    """gzip of records: label, two bytes of length, that many bytes of a JPEG."""
    from PIL import Image

    data, images, labels, at = gzip.decompress(path.read_bytes()), [], [], 0
    while at < len(data) and len(labels) < limit:
        label, length = struct.unpack_from("<BH", data, at)
        image = Image.open(io.BytesIO(data[at + 3 : at + 3 + length])).convert("RGB")
        images.append(np.asarray(image))
        labels.append(label)
        at += 3 + length
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def load(folder, split, kind="jpeg", limit=1 << 30):
    """kind "jpeg": all 50,000 or 10,000 images at quality 75; "exact": the first 4,000 or 1,000 without loss;
    "random": 512 images of noise with random labels, for trying a program out."""
    if kind == "random":
        generator = torch.Generator().manual_seed(int(split == "test"))
        images = torch.randint(256, (512, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
        return images[:limit], torch.randint(10, (512,), generator=generator)[:limit]
    path = folder / FILES[split, kind]
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: name the folder of CIFAR-10 with --data, or use --images random")
    images, labels = exact(path) if kind == "exact" else jpeg(path, limit)
    return images[:limit], labels[:limit]


def to_float(images, side=SIDE):
    """uint8 to [-1, 1], averaged down to side x side."""
    values = images.float() / 127.5 - 1
    return values if side == images.shape[-1] else F.avg_pool2d(values, images.shape[-1] // side)


def to_bytes(values):
    return (values.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)


def write_grid(path, values, columns, scale=2):
    """values [N, 3, H, W] in [-1, 1], row by row, with a frame of one pixel, enlarged without smoothing."""
    from PIL import Image

    tiles = F.pad(to_bytes(values.cpu()), (1, 1, 1, 1), value=255)
    count, _, height, width = tiles.shape
    grid = tiles.view(count // columns, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    image = Image.fromarray(grid.reshape(count // columns * height, columns * width, 3).contiguous().numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * scale, image.height * scale), Image.NEAREST).save(path, optimize=True)
