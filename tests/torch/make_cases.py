"""Writes cases/*.safetensors: what PyTorch computes for small specs. README.md has the format.

    python3 make_cases.py            write all
    python3 make_cases.py --check    compute again from the files' inputs and compare

Every case is computed in double precision and rounded once; it is computed in single precision too, and a case in
which the two differ by more than a quarter of the tests' tolerance is refused: it would measure luck.
"""

import json
import math
import pathlib
import struct
import sys
import zlib

import numpy
import torch
import torch.nn.functional as F

from cases import cases
from network import Network, to_yaml
from optimizers import Optimizer, is_trained

FOLDER = pathlib.Path(__file__).parent / "cases"
TOLERANCE = 1e-5


# ---- specs -----------------------------------------------------------------------------------------------------------


def spec_of(case, rate):
    """The whole spec. With a canvas, image n of the batch is the n-th unit vector, and the first layer paints
    picture n from its weights."""
    shape, layers = case.shape, list(case.layers)
    if case.canvas and len(shape) == 3:
        channels, height, width = shape
        around = {"top": height - 1, "bottom": height - 1, "left": width - 1, "right": width - 1}
        canvas = {"name": "canvas", "kernels": channels, "kernel_size": [height, width], "padding": around, "bias": False}
        layers.insert(0, {"conv": canvas})
        shape = [case.batch, 1, 1]
    elif case.canvas:
        layers.insert(0, {"linear": {"name": "canvas", "features": shape[0], "bias": False}})
        shape = [case.batch]
    kind, settings = next(iter(case.optimizer.items()))
    return {
        "net": case.name,
        "input": {"name": "image", "shape": shape},
        "layers": layers,
        "train": {
            "loss": case.loss,
            "optimizer": {kind: {"lr": rate, **settings}},
            "batch": case.batch,
            "epochs": 1,
            "shuffle": False,
        },
    }


# ---- what goes in ----------------------------------------------------------------------------------------------------


def pixels(random, kind, shape):
    if kind == "integers":
        return random.integers(-2, 3, shape).astype(numpy.float32)
    values = random.standard_normal(shape)
    if kind == "far":
        return (200 + values).astype(numpy.float32)
    return (values * (30.0 if kind == "large" else 1.0)).astype(numpy.float32)


def given(case, network, steps):
    """Inputs, answers and first parameters."""
    random = numpy.random.Generator(numpy.random.Philox(zlib.crc32(case.name.encode())))

    def draw(name, shape, mean, std):
        if name == "canvas.weight":
            return pixels(random, case.pixels, shape)
        if name.endswith("running_var"):
            return random.uniform(0.5, 1.5, shape).astype(numpy.float32)
        return (mean + std * random.standard_normal(shape)).astype(numpy.float32)

    parameters = network.parameters(draw)
    images = steps * case.batch
    if case.canvas:
        unit = numpy.eye(case.batch, dtype=numpy.float32).reshape([case.batch, *network.input["shape"]])
        inputs = numpy.concatenate([unit] * steps)
    else:
        inputs = pixels(random, case.pixels, [images, *network.input["shape"]])
    state = {name: torch.tensor(value) for name, value in parameters.items()}
    output, _ = network.forward(state, torch.tensor(inputs[: case.batch]), False)
    tensors = {"input": inputs}
    if case.loss == "mse":
        tensors["targets"] = random.standard_normal([images, *output.shape[1:]]).astype(numpy.float32)
    else:
        tensors["labels"] = random.integers(0, output.shape[1], images).astype(numpy.int64)
    tensors.update({f"param.{name}": value for name, value in parameters.items()})
    return tensors


# ---- what comes out --------------------------------------------------------------------------------------------------


def train(case, spec, tensors, rates, dtype):
    """Everything PyTorch says about the case, computed in `dtype`."""
    network = Network(spec)

    def given_as(value):
        return torch.tensor(value).to(dtype) if value.dtype == numpy.float32 else torch.tensor(value)

    state = {name[6:]: given_as(value) for name, value in tensors.items() if name.startswith("param.")}
    buffers = {name for name in state if "running_" in name}
    weights = {name: value.requires_grad_() for name, value in state.items() if name not in buffers}
    inputs = given_as(tensors["input"])
    answers = given_as(tensors["labels" if "labels" in tensors else "targets"])
    results = {}
    with torch.no_grad():
        results["output"] = network.forward(state, inputs[: case.batch], False)[0]
    optimizer = Optimizer(spec, weights)
    for step, rate in enumerate(rates, start=1):
        batch = slice((step - 1) * case.batch, step * case.batch)
        for weight in weights.values():
            weight.grad = None
        loss, output, updates = network.loss_of(state, inputs[batch], answers[batch])
        loss.backward()
        results[f"loss.{step}"] = loss.detach()
        if step == 1:
            results["train_output"] = output.detach()
            trained = {name: weight for name, weight in weights.items() if is_trained(spec, name)}
            results.update({f"grad.{name}": weight.grad.clone() for name, weight in trained.items()})
        optimizer.step(rate)
        state.update(updates)
        if case.keep == "all" or step == len(rates):
            after = {name: value.detach().clone() for name, value in {**state, **optimizer.states()}.items()}
            results.update({f"after.{step}.{name}": value for name, value in after.items()})
    return {name: value.to(torch.float64).numpy() for name, value in results.items()}


def difference(value, reference):
    """Largest difference relative to the largest number of the reference."""
    return float(numpy.abs(value - reference).max() / max(numpy.abs(reference).max(), 1e-30))


def compute(case, spec, tensors, rates):
    """Results rounded to single precision, and the largest relative difference of PyTorch's single precision."""
    double = train(case, spec, tensors, rates, torch.float64)
    single = train(case, spec, tensors, rates, torch.float32)
    worst = 0.0
    for name, reference in double.items():
        assert numpy.isfinite(reference).all(), f"{case.name}: {name} is not finite"
        if not reference.any():
            assert not single[name].any(), f"{case.name}: {name} is zero only in double precision"
            continue
        # A tensor of rounding errors says nothing (a bias before batch normalisation has no gradient).
        assert numpy.abs(reference).max() > 1e-9, f"{case.name}: {name} is noise"
        worst = max(worst, difference(single[name], reference))
    assert worst < TOLERANCE / 4, f"{case.name}: single precision is off by {worst:.1e}"
    return {name: value.astype(numpy.float32) for name, value in double.items()}, worst


def rate_for(case, tensors):
    """The power of two that moves the typical parameter by about its size, so that w − w' shows the gradient."""
    results = train(case, spec_of(case, 1.0), tensors, [1.0], torch.float64)
    ratios = []
    for name, gradient in results.items():
        if name.startswith("grad.") and gradient.any():
            ratios.append(numpy.sqrt((tensors["param." + name[5:]] ** 2).mean() / (gradient**2).mean()))
    return 2.0 ** round(math.log2(float(numpy.median(ratios))))


# ---- files -----------------------------------------------------------------------------------------------------------


def save(path, tensors, metadata):
    """safetensors with its header in a fixed order, so that the same case is the same bytes."""
    header, position = {"__metadata__": metadata}, 0
    for name, value in tensors.items():
        kind = {"float32": "F32", "int64": "I64"}[value.dtype.name]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [position, position + value.nbytes]}
        position += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(numpy.ascontiguousarray(value).tobytes() for value in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def load(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata, tensors = header.pop("__metadata__"), {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = {"F32": numpy.float32, "I64": numpy.int64}[entry["dtype"]]
        tensors[name] = numpy.frombuffer(data[begin:end], kind).reshape(entry["shape"]).copy()
    return tensors, metadata


def make(case):
    """(tensors, metadata) of the case's file."""
    steps = len(case.rates) if case.rates else 1
    tensors = given(case, Network(spec_of(case, 1.0)), steps)
    rates = case.rates or [rate_for(case, tensors)]
    spec = spec_of(case, rates[0])
    results, worst = compute(case, spec, tensors, rates)
    for step, rate in enumerate(rates, start=1):
        tensors[f"lr.{step}"] = numpy.float32(rate)
    tensors.update(results)
    metadata = {
        "spec": to_yaml(spec),
        "kind": case.kind,
        "mode": "train",
        "batch": str(case.batch),
        "steps": str(steps),
        "seed": "0",
        "torch": torch.__version__.split("+")[0],
        "single_precision_error": f"{worst:.1e}",
    }
    return tensors, metadata


def check(case):
    """The committed file still says what PyTorch says."""
    tensors, metadata = load(FOLDER / f"{case.name}.safetensors")
    rates = case.rates or [float(tensors["lr.1"])]
    spec = spec_of(case, rates[0])
    assert metadata["spec"] == to_yaml(spec), f"{case.name}: the spec has changed"
    results, _ = compute(case, spec, tensors, rates)
    for name, value in results.items():
        off = difference(value, tensors[name])
        assert off < 1e-6, f"{case.name}: {name} differs by {off:.1e}"


def check_lrn_window():
    """PyTorch's window of an even size: size/2 channels before the centre, (size − 1)/2 after."""
    for size in range(1, 8):
        x = torch.zeros(1, 15, 1, 1, dtype=torch.float64)
        x[0, 7] = 1.0
        # Where the square of channel 7 counts: the channels whose window holds it.
        probe = F.local_response_norm(torch.ones_like(x) + 1e3 * x, size, float(size), 1.0, 1.0)
        flat = F.local_response_norm(torch.ones_like(x), size, float(size), 1.0, 1.0)
        seen = [channel for channel in range(15) if abs(float((probe - flat)[0, channel])) > 1e-9]
        assert seen == list(range(7 - (size - 1) // 2, 7 + size // 2 + 1)), (size, seen)


def main():
    torch.set_num_threads(1)
    check_lrn_window()
    if sys.argv[1:] == ["--check"]:
        names = set()
        for case in cases():
            check(case)
            names.add(f"{case.name}.safetensors")
        extra = sorted(path.name for path in FOLDER.iterdir() if path.name not in names)
        assert not extra, f"no case makes {extra}"
        print(f"{len(names)} cases agree with torch {torch.__version__}")
        return
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.safetensors"):
        path.unlink()
    size, count = 0, 0
    for case in cases():
        path = FOLDER / f"{case.name}.safetensors"
        assert not path.exists(), f"two cases are called {case.name}"
        tensors, metadata = make(case)
        save(path, tensors, metadata)
        size, count = size + path.stat().st_size, count + 1
        print(f"{case.name:34} {path.stat().st_size:8} bytes   float32 {metadata['single_precision_error']}")
    print(f"{count} cases, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
