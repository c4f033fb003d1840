"""Seconds for one training step (forward, backward, SGD update) of PyTorch eager and of netc, in turn.

    python3 bench/train_step.py [--net alexnet] [--batch 128] [--threads 2] [--rounds 3] [--steps 3]

Each measurement is a process of its own and starts when the last one has ended: PyTorch in its default layout, PyTorch
in channels_last, netc; then again. netc's figure is that of `netc time`. The table has the median step of each
process and netc's ratio to the faster of PyTorch's layouts, round by round. Needs torch and a built netc.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYOUTS = {"torch default": "contiguous", "torch channels_last": "channels_last"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="alexnet", choices=["alexnet", "alexnet-half"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="measured steps of a process, after one to warm up")
    parser.add_argument("--netc", default=str(ROOT / "target" / "release" / "netc"))
    parser.add_argument("--only", choices=["torch", "netc"], help="leave the other out")
    parser.add_argument("--layout", choices=sorted(LAYOUTS.values()), help=argparse.SUPPRESS)
    return parser.parse_args()


def torch_steps(options):
    """Seconds of each measured step, in this process."""
    import torch

    from networks import network

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    layout = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[options.layout]
    model = network(options.net).train().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(options.batch, 3, 224, 224).to(memory_format=layout)
    labels = torch.randint(0, 1000, (options.batch,))
    seconds = []
    for _ in range(options.steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def run(command):
    """What a command prints, as JSON."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout)


def measure_torch(options, layout):
    command = [sys.executable, __file__, "--net", options.net, "--batch", str(options.batch)]
    command += ["--threads", str(options.threads), "--steps", str(options.steps), "--layout", layout]
    return statistics.median(run(command))


def measure_netc(options):
    command = [options.netc, "time", str(ROOT / "specs" / f"{options.net}.yaml"), "--mode", "train"]
    command += ["--batch", str(options.batch), "--threads", str(options.threads)]
    command += ["--repeat", str(options.steps), "--format", "json"]
    return run(command)["step_seconds"]["median"]


def row(name, values, form):
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"{name:24} {form(low):>9} {form(middle):>9} {form(high):>9}   {'  '.join(form(v) for v in values)}")


def main():
    options = arguments()
    if options.layout:
        print(json.dumps(torch_steps(options)))
        return
    measures = {}
    if options.only != "netc":
        for name, layout in LAYOUTS.items():
            measures[name] = lambda layout=layout: measure_torch(options, layout)
    if options.only != "torch":
        measures["netc"] = lambda: measure_netc(options)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"others are at work here (load {load:.1f}): these figures will not be worth much", file=sys.stderr)
    seconds = {name: [] for name in measures}
    for index in range(options.rounds):
        for name, measure in measures.items():
            seconds[name].append(measure())
            print(f"round {index + 1}: {name} {seconds[name][-1]:.3f} s", file=sys.stderr)

    print(f"{options.net}, batch {options.batch}, {options.threads} threads: seconds a training step")
    print(f"{'':24} {'min':>9} {'median':>9} {'max':>9}   by round")
    for name, values in seconds.items():
        row(name, values, lambda value: f"{value:.3f}")
    if len(measures) == len(LAYOUTS) + 1:
        fastest = [min(layouts) for layouts in zip(*(seconds[name] for name in LAYOUTS))]
        ratios = [torch / netc for torch, netc in zip(fastest, seconds["netc"])]
        row("netc's speed / torch's", ratios, lambda value: f"{value:.2f}")


if __name__ == "__main__":
    main()
