"""Dequantization of every float tensor of SmolLM2: ours bit for bit against the gguf package."""
import subprocess

import numpy
from gguf import GGUFReader
from gguf.quants import dequantize

import common


def main():
    out = subprocess.run([common.program("reference_dump"), "tensors", common.smollm2()], check=True, capture_output=True, text=True).stdout
    mine = dict(line.rsplit(" ", 1) for line in out.splitlines())
    checks = common.Checks("Dequantization against the gguf package")
    equal, elements, types = 0, 0, {}
    tensors = GGUFReader(common.smollm2()).tensors
    for tensor in tensors:
        values = numpy.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32)
        same = mine.get(tensor.name) == common.sha256(values.tobytes())
        equal += same
        elements += values.size
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
        if not same:
            checks.check(tensor.name, False, "differs")
    checks.check("all tensors", equal == len(tensors) == len(mine), f"{equal} of {len(tensors)} bit-equal, {elements} elements, {types}")
    checks.finish()


main()
