"""Twenty training steps of alexnet-half in PyTorch and in netc: same weights, same batches, same losses.

    python3 bench/same_steps.py [--batch 16] [--steps 20] [--threads 2]

Makes a data file and a weights file, runs `netc train` on them and the same steps in PyTorch, prints both losses step
by step and the largest relative difference, and exits with 1 if that is more than 1e-4. Needs torch, safetensors and a
built netc.

Dropout is off, as the two draw different random numbers. The optimizer is SGD with momentum and not the spec's Adam, as
Adam divides small gradients by their own size and so makes rounding errors large: with it, 20 steps of PyTorch in single
and in double precision end with losses that differ by a tenth.
"""

import argparse
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file

from networks import network

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLASSES = 10
TOLERANCE = 1e-4
# Rounding grows with the rate: at 0.002 PyTorch's own single and double precision differ by about 1e-5 after 20 steps
# (--double shows it), at 0.01 by more than the tolerance.
RATE = 0.002


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--netc", default=str(ROOT / "target" / "release" / "netc"))
    parser.add_argument("--double", action="store_true", help="compare PyTorch with its own double precision too")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the files, which then stay")
    return parser.parse_args()


def make_data(count):
    """Images that can be told apart: a coarse pattern for each class, and noise."""
    labels = torch.arange(count) % CLASSES
    labels = labels[torch.randperm(count)]
    patterns = torch.nn.functional.interpolate(torch.randn(CLASSES, 3, 7, 7), size=224)
    return patterns[labels] + 0.3 * torch.randn(count, 3, 224, 224), labels


def make_network():
    """The article's initial weights, so that the losses move within a few steps."""
    model = network("alexnet-half", CLASSES, p=0.0)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            torch.nn.init.zeros_(layer.bias)
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, 0, 0.01)
            torch.nn.init.zeros_(layer.bias)
    return model


def torch_losses(model, images, labels, options):
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    losses = []
    for step in range(options.steps):
        batch = slice(step * options.batch, (step + 1) * options.batch)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def netc_losses(folder, options):
    run = folder / "run"
    command = [options.netc, "train", str(ROOT / "specs" / "alexnet-half.yaml")]
    for setting in (
        f"fc8.features={CLASSES}",
        "dropout1.p=0",
        "dropout2.p=0",
        "train.shuffle=false",
        "train.warmup=0",
        "train.schedule=constant",
        "train.loss=cross_entropy",
        f"train.optimizer={{sgd: {{lr: {RATE}, momentum: 0.9, weight_decay: 5.0e-4}}}}",
    ):
        command += ["--set", setting]
    command += ["--data", str(folder / "data"), "--weights", str(folder / "weights.safetensors")]
    command += ["--batch", str(options.batch), "--steps", str(options.steps), "--threads", str(options.threads)]
    command += ["--log-every", "1"]
    done = subprocess.run([*command, "-o", str(run)], stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(command)}")
    lines = (run / "log.jsonl").read_text().splitlines()
    return read_losses([json.loads(line) for line in lines], options.steps)


def read_losses(entries, steps):
    """The loss of each step from the log."""
    losses = {entry["step"]: entry["loss"] for entry in entries if entry["kind"] == "step"}
    if len(losses) != steps:
        sys.exit(f"the log has the losses of {len(losses)} steps, not of {steps}")
    return [losses[step] for step in sorted(losses)]


def relative(values, references):
    return [abs(value - reference) / abs(reference) for value, reference in zip(values, references)]


def compare(folder, options):
    images, labels = make_data(options.batch * options.steps)
    model = make_network()
    # In a folder with a test part of its own nothing of the training part is held out.
    (folder / "data").mkdir(exist_ok=True)
    save_file({"images": images, "labels": labels}, folder / "data" / "train.safetensors")
    few = slice(0, options.batch)
    save_file({"images": images[few].clone(), "labels": labels[few].clone()}, folder / "data" / "test.safetensors")
    save_file(model.state_dict(), folder / "weights.safetensors")
    exact = torch_losses(copy.deepcopy(model).double(), images.double(), labels, options) if options.double else None
    theirs = torch_losses(model, images, labels, options)
    ours = netc_losses(folder, options)
    print("step      torch        netc   difference")
    differences = relative(ours, theirs)
    for step, row in enumerate(zip(theirs, ours, differences), start=1):
        print("{:4}  {:.7f}  {:.7f}   {:.1e}".format(step, *row))
    if exact:
        print(f"PyTorch's single precision is off by {max(relative(theirs, exact)):.1e}, netc by {max(relative(ours, exact)):.1e}")
    print(f"largest relative difference {max(differences):.1e}, allowed {TOLERANCE:.0e}")
    return max(differences) <= TOLERANCE


def main():
    options = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        agree = compare(options.keep, options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            agree = compare(pathlib.Path(folder), options)
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
