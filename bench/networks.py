"""The networks of specs/ in PyTorch, with the same layer names, so that weights files fit both."""

from collections import OrderedDict

from torch import nn


class Named(nn.Module):
    """Layers one after the other; parameters are called `conv1.weight` and the like."""

    def __init__(self, layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


def convolutions(layers, widths, stem_padding, lrn):
    """Five convolutions with their ReLUs, normalisations and pools."""
    channels = 3
    for index, kernels in enumerate(widths, start=1):
        if index == 1:
            if isinstance(stem_padding, tuple):
                layers["pad1"] = nn.ZeroPad2d(stem_padding)
                stem_padding = 0
            layers["conv1"] = nn.Conv2d(channels, kernels, 11, stride=4, padding=stem_padding)
        else:
            size = 5 if index == 2 else 3
            layers[f"conv{index}"] = nn.Conv2d(channels, kernels, size, padding=size // 2)
        layers[f"relu{index}"] = nn.ReLU(inplace=True)
        if lrn and index in (1, 2):
            layers[f"lrn{index}"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)
        if index in (1, 2, 5):
            layers[f"pool{index}"] = nn.MaxPool2d(3, stride=2)
        channels = kernels
    layers["flatten"] = nn.Flatten()
    return channels * 6 * 6


def alexnet(classes=1000, p=0.5):
    """specs/alexnet.yaml: 62,378,344 parameters with 1000 classes."""
    layers = OrderedDict()
    features = convolutions(layers, [96, 256, 384, 384, 256], (1, 2, 1, 2), lrn=True)
    for index, (inputs, outputs) in enumerate(((features, 4096), (4096, 4096)), start=6):
        layers[f"fc{index}"] = nn.Linear(inputs, outputs)
        layers[f"relu{index}"] = nn.ReLU(inplace=True)
        layers[f"dropout{index}"] = nn.Dropout(p)
    layers["fc8"] = nn.Linear(4096, classes)
    return Named(layers)


def alexnet_half(classes=1000, p=0.5):
    """specs/alexnet-half.yaml: 16,630,440 parameters with 1000 classes."""
    layers = OrderedDict()
    features = convolutions(layers, [48, 128, 192, 192, 128], 2, lrn=False)
    for index, (inputs, outputs) in enumerate(((features, 2048), (2048, 2048)), start=6):
        layers[f"dropout{index}"] = nn.Dropout(p)
        layers[f"fc{index}"] = nn.Linear(inputs, outputs)
        layers[f"relu{index}"] = nn.ReLU(inplace=True)
    layers["fc8"] = nn.Linear(2048, classes)
    return Named(layers)


NETWORKS = {"alexnet": (alexnet, 62_378_344), "alexnet-half": (alexnet_half, 16_630_440)}


def network(name, classes=1000, p=0.5):
    """The network that the spec of this name describes; its size is checked."""
    make, parameters = NETWORKS[name]
    model = make(classes, p)
    count = sum(parameter.numel() for parameter in model.parameters())
    missing = (1000 - classes) * (model.fc8.in_features + 1)
    assert count == parameters - missing, f"{name} has {count} parameters, not {parameters - missing}"
    return model
