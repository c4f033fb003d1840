"""A process that holds one peer and measures it when told to. compare.py starts it.

    worker.py WORK.json

WORK.json is a work as compare.py describes it. With the peer `files` it writes what the others read and ends. Otherwise
it says a line {"ready": true, "settings": "..."} when the peer is made and has run once, with its logits in the file
`output`, or the losses of the first steps as "losses" if the work asks for that; before, it may say lines
{"progress": "..."} of what takes long. Then it reads lines {"seconds": S, "calls": C}: at each it warms up, calls the peer
for S seconds and C times at least, and answers {"seconds": [...]}. It ends with its input. The process of rust/ does the
same for the peers in Rust.
"""

import json
import os
import pathlib
import sys
import time


def make_files(work):
    """Weights, images, labels, the logits that PyTorch gives for them, and the network for ONNX."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from networks import network, tensors

    folder = pathlib.Path(work["folder"])
    torch.manual_seed(1)
    model = network(work["net"]).eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                # Signals keep their size, so that every layer matters for the logits.
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    layer.bias.normal_(0, 0.05)
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
        save_file({name: value.contiguous() for name, value in tensors(model).items()}, folder / "weights.safetensors")
        images = torch.randn(work["batch"], 3, 224, 224)
        images.numpy().tofile(folder / "images.f32")
        torch.randint(0, 1000, (work["batch"],), dtype=torch.int32).numpy().tofile(folder / "labels.i32")
        if work["mode"] == "infer":
            model(images).numpy().astype(np.float32).tofile(folder / "logits.f32")
    if work["onnx"]:
        import onnx_file

        onnx_file.write(model, work["batch"], folder / "network.onnx", work["mode"] == "train")


def measure(run, seconds, calls):
    """Seconds of each call, after a warm-up of a tenth of the time and a call at least."""
    start = time.perf_counter()
    while True:
        run()
        if time.perf_counter() - start >= seconds / 10:
            break
    taken = []
    start = last = time.perf_counter()
    while last - start < seconds or len(taken) < calls:
        run()
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return taken


def main():
    work = json.loads(pathlib.Path(sys.argv[1]).read_text())
    # Answers go to the real standard output; what libraries print there goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if work["peer"] == "files":
        make_files(work)
        return
    from peers import PEERS

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    peer = PEERS[work["peer"]](work, lambda words: answer({"progress": words}))
    if work["check"]:
        answer({"ready": True, "settings": peer.settings, "losses": [peer.run() for _ in range(work["check"])]})
        return
    peer.run()
    if work["mode"] == "infer":
        peer.output().astype("float32").tofile(work["output"])
    answer({"ready": True, "settings": peer.settings})
    for line in sys.stdin:
        answer({"seconds": measure(peer.run, **json.loads(line))})


if __name__ == "__main__":
    main()
