"""Images: ours against PIL, scikit-image, PyTorch and diffusers.

--write  writes tests/golden/images.json: the libraries' results for inputs from a formula that both sides know; the unit tests hold ours to them.
"""
import io
import json
import os
import sys

import numpy as np
import PIL
import skimage
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import common

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden")


def pattern(height, width, seed):
    """The bytes of an image: smooth in places, rough in others."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    rough = (x * x * 31 + y * y * 17 + x * y * 7 + c * 101 + seed * 57) % 251
    smooth = (x * 5 + y * 3 + c * 40 + seed * 11) % 256
    return np.where((x // 8 + y // 8) % 2 == 0, rough, smooth).astype(np.uint8)


def bicubic(image, height, width):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def bilinear(image, height, width):
    x = torch.from_numpy(image.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)[0]


def similarity(a, b):
    a, b = a / 255.0, b / 255.0
    ssim = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=2)
    return {"psnr": peak_signal_noise_ratio(a, b, data_range=1.0), "ssim": ssim,
            "sqnr": float(10 * np.log10((a * a).sum() / ((a - b) ** 2).sum()))}


def cover(image, height, width):
    from diffusers.image_processor import PixArtImageProcessor
    x = torch.from_numpy(image.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None]
    return PixArtImageProcessor.resize_and_crop_tensor(x, width, height)[0]


def bins():
    from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import ASPECT_RATIO_256_BIN, ASPECT_RATIO_512_BIN, ASPECT_RATIO_1024_BIN
    from diffusers.pipelines.pixart_alpha.pipeline_pixart_sigma import ASPECT_RATIO_2048_BIN
    from diffusers.pipelines.sana.pipeline_sana import ASPECT_RATIO_4096_BIN
    from diffusers.image_processor import PixArtImageProcessor
    tables = {256: ASPECT_RATIO_256_BIN, 512: ASPECT_RATIO_512_BIN, 1024: ASPECT_RATIO_1024_BIN, 2048: ASPECT_RATIO_2048_BIN, 4096: ASPECT_RATIO_4096_BIN}
    wanted = [(h, w) for h in range(100, 4000, 370) for w in range(90, 4000, 410)]
    return {"tables": {str(side): [[float(k), int(v[0]), int(v[1])] for k, v in table.items()] for side, table in tables.items()},
            "nearest": [[side, h, w, *map(int, PixArtImageProcessor.classify_height_width_bin(h, w, ratios=table))]
                        for side, table in tables.items() for h, w in wanted[::5]]}


def float_list(tensor):
    return [float(f"{v:.9g}") for v in tensor.flatten().tolist()]


def results():
    source = pattern(23, 37, 1)
    noisy = np.clip(source.astype(int) + (pattern(23, 37, 2).astype(int) - 128) // 6, 0, 255).astype(np.uint8)
    sizes = [(23, 37), (7, 11), (40, 50), (23, 12), (9, 37), (60, 30), (1, 1)]
    out = {"made_by": f"scripts/reference/images.py --write; PIL {PIL.__version__}, scikit-image {skimage.__version__}, torch {torch.__version__}",
           "bicubic": [{"size": [h, w], "sha256": common.sha256(bicubic(source, h, w).tobytes()), "first": bicubic(source, h, w).flatten()[:24].tolist()}
                       for h, w in sizes],
           "bilinear": [{"size": [h, w], "values": float_list(bilinear(source, h, w))} for h, w in [(7, 11), (14, 20), (30, 40)]],
           "cover": [{"size": [h, w], "values": float_list(cover(source, h, w))} for h, w in [(10, 10), (20, 36), (12, 30)]],
           "similarity": similarity(source, noisy), "bins": bins()}
    file = io.BytesIO()
    palette = Image.fromarray(source).quantize(16)
    palette.save(file, "PNG", bits=4)
    out["palette"] = {"png": file.getvalue().hex(), "sha256": common.sha256(np.asarray(palette.convert("RGB")).tobytes())}
    for name, mode in (("grey", "L"), ("alpha", "RGBA")):
        file = io.BytesIO()
        image = Image.fromarray(source).convert(mode)
        image.save(file, "PNG")
        out[name] = {"png": file.getvalue().hex(), "sha256": common.sha256(np.asarray(image.convert("RGB")).tobytes())}
    return out


def main():
    path, out = os.path.join(GOLDEN, "images.json"), results()
    if sys.argv[1:] == ["--write"]:
        with open(path, "w", encoding="ascii") as file:
            json.dump(out, file, separators=(",", ":"))
            file.write("\n")
        return
    with open(path, encoding="ascii") as file:
        kept = json.load(file)
    checks = common.Checks("Images: the libraries of today against what the unit tests hold ours to")
    for key in out.keys() - {"made_by"}:
        checks.check(key, json.loads(json.dumps(out[key])) == kept[key])
    checks.finish()


if __name__ == "__main__":
    main()
