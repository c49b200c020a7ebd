"""Dequantization of every float tensor of the real models: ours bit for bit against the gguf package."""
import subprocess

import numpy
from gguf import GGUFReader
from gguf.quants import dequantize

import common


def compare(checks, model, path):
    out = subprocess.run([common.program("reference_dump"), "tensors", path], check=True, capture_output=True, text=True).stdout
    mine = dict(line.rsplit(" ", 1) for line in out.splitlines())
    equal, elements, types = 0, 0, {}
    tensors = GGUFReader(path).tensors
    for tensor in tensors:
        values = numpy.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32)
        same = mine.get(tensor.name) == common.sha256(values.tobytes())
        equal += same
        elements += values.size
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
        if not same:
            checks.check(f"{model}: {tensor.name}", False, "differs")
    checks.check(f"{model}: all tensors", equal == len(tensors) == len(mine),
                 f"{equal} of {len(tensors)} bit-equal, {elements} elements, {types}")


def main():
    checks = common.Checks("Dequantization against the gguf package")
    for model, path in common.real_models():
        compare(checks, model, path)
    checks.finish()


main()
