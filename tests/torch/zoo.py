"""The specs that follow torchvision against torchvision itself: same weights, same images, same outputs.

    python3 tests/torch/zoo.py [--netc target/release/netc] [NETWORK ...]

Needs torch, torchvision and safetensors. Weights are random, saved under torchvision's names, which the specs use; the
largest difference of an output is printed as a share of the outputs' root mean square.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {
    "alexnet-torchvision": lambda: torchvision.models.alexnet(),
    "vgg11": lambda: torchvision.models.vgg11(),
    "vgg16": lambda: torchvision.models.vgg16(),
    "squeezenet": lambda: torchvision.models.squeezenet1_1(),
    "googlenet": lambda: torchvision.models.googlenet(aux_logits=False, init_weights=False),
    "resnet18": lambda: torchvision.models.resnet18(),
}


def compare(name, netc):
    torch.manual_seed(1)
    model = NETWORKS[name]().eval()
    for buffer, value in model.named_buffers():
        if buffer.endswith("running_mean"):
            value.normal_(0, 0.1)
        if buffer.endswith("running_var"):
            value.uniform_(0.5, 2)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = model(images)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        state = {key: value.contiguous() for key, value in model.state_dict().items() if "num_batches" not in key}
        save_file(state, folder / "weights.safetensors")
        save_file({"images": images}, folder / "images.safetensors")
        command = [netc, "run", ROOT / "specs" / f"{name}.yaml", "--weights", folder / "weights.safetensors"]
        command += [folder / "images.safetensors", "--output", folder / "out.safetensors"]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        (actual,) = load_file(folder / "out.safetensors").values()
    params = sum(p.numel() for p in model.parameters())
    difference = ((actual.reshape(expected.shape) - expected).abs().max() / expected.pow(2).mean().sqrt()).item()
    print(f"{name:20} {params:12,} params   largest difference {difference:.1e} of the outputs' rms")
    return difference < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netc", default=str(ROOT / "target" / "release" / "netc"))
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    options = parser.parse_args()
    agree = [compare(name, options.netc) for name in options.networks]
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()
