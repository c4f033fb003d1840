"""Training with filtered convolutions and by the definition: do the losses fall alike?

    python3 bench/loss_curves.py [--batch 32] [--steps 200] [--out loss-curves.svg]

Trains alexnet-half on Fashion-MNIST (10 classes, images enlarged to 224×224) with `netc train`, once with
`--algorithm auto` and once with `--algorithm direct`: the same seed, so the same first weights, images and dropout.
Prints the largest relative difference of a step's loss and of its mean over 20 steps, and draws both curves. With
`--seeds` a third run, direct with another seed, shows how much chance alone matters. Needs a built netc and the data
(`.ci/setup` fetches it), and no packages.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WINDOW = 20
COLOURS = {"auto": "#c0392b", "direct": "#2471a3", "direct, another seed": "#aab7b8"}


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, help="by default all cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", action="store_true", help="train once more, direct with another seed")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "data" / "fashion-mnist")
    parser.add_argument("--out", type=pathlib.Path, default="loss-curves.svg", help="the picture")
    parser.add_argument("--netc", default=str(ROOT / "target" / "release" / "netc"))
    return parser.parse_args()


def train(options, algorithm, seed, folder):
    """The loss of every step."""
    words = [options.netc, "train", ROOT / "specs" / "alexnet-half.yaml", "--data", options.data, "-o", folder]
    words += ["--set", "fc8.features=10", "--algorithm", algorithm, "--seed", seed]
    words += ["--batch", options.batch, "--steps", options.steps, "--log-every", 1, "--test-images", 100]
    words += ["--threads", options.threads] if options.threads else []
    done = subprocess.run([str(word) for word in words], stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"loss_curves.py: netc train failed with {done.returncode}")
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in entries if entry["kind"] == "step"]
    if len(losses) != options.steps:
        sys.exit(f"loss_curves.py: the log has {len(losses)} steps, not {options.steps}")
    return losses


def running(losses):
    """The mean over WINDOW steps, from the first step that has so many before it."""
    return [statistics.fmean(losses[end - WINDOW : end]) for end in range(WINDOW, len(losses) + 1)]


def apart(ours, theirs):
    """The largest relative difference, and at which place."""
    return max((abs(a - b) / abs(b), index) for index, (a, b) in enumerate(zip(ours, theirs)))


def picture(curves):
    """The curves as SVG: each step's loss thin, the mean over WINDOW steps thick."""
    width, height, edge = 800, 420, 50
    steps = max(len(losses) for losses in curves.values())
    top = max(max(losses) for losses in curves.values())

    def x(step):
        return edge + (width - 2 * edge) * step / max(steps - 1, 1)

    def y(loss):
        return height - edge - (height - 2 * edge) * loss / top

    def line(values, first, colour, thick):
        points = " ".join(f"{x(first + index):.1f},{y(value):.1f}" for index, value in enumerate(values))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{thick}"/>'

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">']
    parts.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for part in range(5):
        loss, step = top * part / 4, (steps - 1) * part / 4
        parts.append(f'<line x1="{edge}" x2="{width - edge}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{edge - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.2f}</text>')
        parts.append(f'<text x="{x(step):.1f}" y="{height - edge + 18}" text-anchor="middle">{step + 1:.0f}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">step (thin: its loss; thick: mean of {WINDOW} steps)</text>')
    # Drawn from the last to the first, and the definition's mean thicker, so that curves on one another both show.
    for name, losses in reversed(curves.items()):
        parts.append(line(losses, 0, COLOURS[name], 0.5))
        parts.append(line(running(losses), WINDOW - 1, COLOURS[name], 4 if name == "direct" else 1.5))
    for row, name in enumerate(curves):
        parts.append(f'<text x="{width - edge}" y="{edge + 16 * row}" text-anchor="end" fill="{COLOURS[name]}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main():
    options = arguments()
    if options.steps < WINDOW:
        sys.exit(f"loss_curves.py: --steps must be {WINDOW} or more")
    if not shutil.which(options.netc):
        sys.exit(f"loss_curves.py: no netc at {options.netc}: build it with `cargo build --release`, or name it with --netc")
    if not options.data.exists():
        sys.exit(f"loss_curves.py: no data at {options.data}: `.ci/setup` fetches it")
    with tempfile.TemporaryDirectory(prefix="netc-curves-") as folder:
        runs = pathlib.Path(folder)
        curves = {name: train(options, name, options.seed, runs / name) for name in ("auto", "direct")}
        if options.seeds:
            curves["direct, another seed"] = train(options, "direct", options.seed + 1, runs / "other")
    options.out.write_text(picture(curves))
    print(f"alexnet-half on {options.data.name}, {options.steps} steps of {options.batch} images, seed {options.seed}")
    for name, losses in curves.items():
        print(f"{name}: first loss {losses[0]:.4f}, mean of the last {WINDOW} steps {running(losses)[-1]:.4f}")
    direct = curves.pop("direct")
    for name, losses in curves.items():
        step, index = apart(losses, direct)
        mean, last = apart(running(losses), running(direct))
        print(f"{name} beside direct: largest relative difference {step:.1e} at step {index + 1}; mean of {WINDOW} steps {mean:.1e} at step {last + WINDOW}")
    print(f"drawn in {options.out}")


if __name__ == "__main__":
    main()
