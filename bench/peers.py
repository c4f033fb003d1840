"""What is measured: netc and its peers, each with the settings that suit it best.

A peer is made from a work (see compare.py), in a process of its own; `tell` takes words on what takes long. It has `settings`, words for what was chosen, and
`run()`, which is what the clock is on. To infer, `output()` gives the last run's logits as an array; to train, `run()`
takes one step and gives its loss.
"""

import gc
import pathlib
import time

import numpy as np
from safetensors.numpy import load_file

# What a training step does, in every peer.
MOMENTUM, DECAY = 0.9, 5e-4
# Calls to warm a variant up, and to judge it by.
TRIAL = {"infer": (3, 5), "train": (1, 2)}


def images_of(work):
    return np.fromfile(pathlib.Path(work["folder"]) / "images.f32", np.float32).reshape(work["batch"], 3, 224, 224)


def labels_of(work):
    return np.fromfile(pathlib.Path(work["folder"]) / "labels.i32", np.int32)


def weights_of(work):
    return load_file(pathlib.Path(work["folder"]) / "weights.safetensors")


def fastest(variants, mode):
    """The variant that is fastest in a trial, and its `run`, which a variant is a function to make."""
    if len(variants) == 1:
        ((name, make),) = variants.items()
        return name, make()
    best = None
    for name, make in variants.items():
        run = make()
        warm, calls = TRIAL[mode]
        for _ in range(warm):
            run()
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        if best is None or min(seconds) < best[0]:
            best = (min(seconds), name, run)
        del run
        gc.collect()
    return best[1:]


class Netc:
    """The library that `netc compile` writes, with the threads of pool.c."""

    def __init__(self, work, tell):
        from netc_library import Library

        self.library = Library(work["netc"], work["pool"], work["threads"])
        self.library.load(weights_of(work))
        self.settings = f"for {self.library.manifest['target'].split('/')[-1]}"
        mode = work["mode"]
        if mode == "infer":
            self.library.function("prepare")[1]()
        self.ports, self.call = self.library.function(mode)
        self.ports["image"][:] = images_of(work)
        if mode == "train":
            self.ports["labels"][:] = labels_of(work)
            self.ports["learning_rate"][()] = work["rate"]
            if "seed" in self.ports:
                self.ports["seed"][:] = (1, 0)
            self.run = self.step
        else:
            self.run = self.call
        self.steps = 0

    def step(self):
        if "step" in self.ports:
            self.ports["step"][()] = self.steps
        self.steps += 1
        self.call()
        return float(self.ports["loss"])

    def output(self):
        return self.ports["output"]


class Torch:
    """PyTorch eager: in its own layout of images or in channels_last, whichever is faster."""

    compiled = False

    def __init__(self, work, tell):
        import torch

        self.torch = torch
        self.work = work
        self.tell = tell
        torch.manual_seed(1)
        torch.set_num_threads(work["threads"])
        torch.set_num_interop_threads(1)
        layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
        make = {"infer": self.inference, "train": self.training}[work["mode"]]
        if "layout" in work:
            layouts = {work["layout"]: layouts[work["layout"]]}
        variants = {name: lambda name=name: self.made(name, make(layouts[name])) for name in layouts}
        self.settings, self.run = fastest(variants, work["mode"])

    def made(self, layout, run):
        """What a variant runs."""
        return run

    def model(self, layout):
        from networks import load, network

        model = network(self.work["net"], p=self.work["dropout"])
        load(model, {name: self.torch.from_numpy(value) for name, value in weights_of(self.work).items()})
        return model.to(memory_format=layout)

    def images(self, layout):
        return self.torch.from_numpy(images_of(self.work)).contiguous(memory_format=layout)

    def inference(self, layout):
        torch = self.torch
        model, images = self.model(layout).eval(), self.images(layout)
        if self.compiled:
            import torch._inductor.config as inductor

            # Weights become constants, laid out for the kernels once: what is asked of the peers that only infer.
            inductor.freezing = True
            torch._dynamo.reset()
            model = torch.compile(model, fullgraph=True)

        # Where weights are frozen, torch.compile looks for no_grad, not for inference_mode.
        without = torch.no_grad if self.compiled else torch.inference_mode

        def run():
            with without():
                self.result = model(images)

        return run

    def training(self, layout):
        torch = self.torch
        model, images = self.model(layout).train(), self.images(layout)
        labels = torch.from_numpy(labels_of(self.work)).long()
        rate = self.work["rate"]
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
        forward = model
        if self.compiled:
            torch._dynamo.reset()
            forward = torch.compile(model, fullgraph=True)

        def run():
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        return run

    def output(self):
        return self.result.numpy()


class TorchCompile(Torch):
    """PyTorch compiled by Inductor."""

    compiled = True

    def made(self, layout, run):
        """Of a compiled variant the first call compiles: minutes, so it says so."""

        def first():
            self.tell(f"compiles for {layout}, which may take minutes")
            start = time.perf_counter()
            result = run()
            self.tell(f"compiled for {layout} in {time.perf_counter() - start:.0f} s")
            return result

        calls = iter([first])
        return lambda: next(calls, run)()


class OnnxRuntime:
    """onnxruntime with all optimisations of the graph, reading and writing memory of its own."""

    def __init__(self, work, tell):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = work["threads"]
        options.inter_op_num_threads = 1
        path = str(pathlib.Path(work["folder"]) / "network.onnx")
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.image = ort.OrtValue.ortvalue_from_numpy(images_of(work))
        self.result = ort.OrtValue.ortvalue_from_shape_and_type([work["batch"], 1000], np.float32)
        self.binding.bind_ortvalue_input(self.session.get_inputs()[0].name, self.image)
        self.binding.bind_ortvalue_output(self.session.get_outputs()[0].name, self.result)
        self.settings = "all optimisations"

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def output(self):
        return self.result.numpy()


class OpenVino:
    """OpenVINO for the least latency, in single precision, as it would take bfloat16 where the machine has it."""

    def __init__(self, work, tell):
        import openvino

        path = pathlib.Path(work["folder"]) / "network.onnx"
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        settings |= {"INFERENCE_NUM_THREADS": work["threads"], "NUM_STREAMS": 1}
        model = openvino.Core().compile_model(path, "CPU", settings)
        self.request = model.create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(images_of(work)))
        self.settings = "latency, f32"

    def run(self):
        self.request.infer()

    def output(self):
        return self.request.get_output_tensor().data


def tensorflow(work, tell):
    from tensorflow_peer import Tensorflow

    return Tensorflow(work)


PEERS = {
    "netc": Netc,
    "torch": Torch,
    "torch-compile": TorchCompile,
    "tensorflow": tensorflow,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
