"""The networks of specs/ in PyTorch, with the same layer names, so that weights files fit both."""

import math
from collections import OrderedDict

import torch
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


class GroupedResponseNorm(nn.Module):
    """Response normalisation within each of several groups of channels."""

    def __init__(self, groups, **settings):
        super().__init__()
        self.groups = groups
        self.norm = nn.LocalResponseNorm(**settings)

    def forward(self, x):
        batch, channels, height, width = x.shape
        apart = x.reshape(batch * self.groups, channels // self.groups, height, width)
        return self.norm(apart).reshape(x.shape)


def relu():
    return nn.ReLU(inplace=True)


def linear_layers(layers, features, width, classes, p, dropout_first):
    """Three linear layers, fc6 to fc8, with dropout before or after the first two."""
    for index, inputs in ((6, features), (7, width)):
        if dropout_first:
            layers[f"dropout{index}"] = nn.Dropout(p)
        layers[f"fc{index}"] = nn.Linear(inputs, width)
        layers[f"relu{index}"] = relu()
        if not dropout_first:
            layers[f"dropout{index}"] = nn.Dropout(p)
    layers["fc8"] = nn.Linear(width, classes)


def convolutions(layers, widths, stem_padding, norm=None, groups=1):
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
            divided = groups if index != 3 else 1
            layers[f"conv{index}"] = nn.Conv2d(channels, kernels, size, padding=size // 2, groups=divided)
        layers[f"relu{index}"] = relu()
        if norm and index in (1, 2):
            layers[f"lrn{index}"] = norm()
        if index in (1, 2, 5):
            layers[f"pool{index}"] = nn.MaxPool2d(3, stride=2)
        channels = kernels
    layers["flatten"] = nn.Flatten()
    return channels * 6 * 6


def alexnet(classes, p):
    layers = OrderedDict()
    norm = lambda: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)
    features = convolutions(layers, [96, 256, 384, 384, 256], (1, 2, 1, 2), norm)
    linear_layers(layers, features, 4096, classes, p, dropout_first=False)
    return Named(layers)


def alexnet_half(classes, p):
    layers = OrderedDict()
    features = convolutions(layers, [48, 128, 192, 192, 128], 2)
    linear_layers(layers, features, 2048, classes, p, dropout_first=True)
    return Named(layers)


def alexnet_paper(classes, p):
    layers = OrderedDict()
    # The paper does not divide alpha by the size; PyTorch does.
    norm = lambda: GroupedResponseNorm(2, size=5, alpha=5e-4, beta=0.75, k=2)
    features = convolutions(layers, [96, 256, 384, 384, 256], (0, 3, 0, 3), norm, groups=2)
    linear_layers(layers, features, 4096, classes, p, dropout_first=False)
    return Named(layers)


def alexnet_torchvision(classes, p):
    features = [nn.Conv2d(3, 64, 11, stride=4, padding=2), relu(), nn.MaxPool2d(3, stride=2)]
    features += [nn.Conv2d(64, 192, 5, padding=2), relu(), nn.MaxPool2d(3, stride=2)]
    for inputs, kernels in ((192, 384), (384, 256), (256, 256)):
        features += [nn.Conv2d(inputs, kernels, 3, padding=1), relu()]
    features.append(nn.MaxPool2d(3, stride=2))
    classifier = []
    for inputs in (256 * 6 * 6, 4096):
        classifier += [nn.Dropout(p), nn.Linear(inputs, 4096), relu()]
    classifier.append(nn.Linear(4096, classes))
    layers = {"features": nn.Sequential(*features), "pool": nn.AdaptiveAvgPool2d(6), "flatten": nn.Flatten()}
    return Named({**layers, "classifier": nn.Sequential(*classifier)})


def vgg16(classes, p):
    features, channels = [], 3
    for kernels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            features += [nn.Conv2d(channels, kernels, 3, padding=1), relu()]
            channels = kernels
        features.append(nn.MaxPool2d(2))
    classifier = []
    for inputs in (512 * 7 * 7, 4096):
        classifier += [nn.Linear(inputs, 4096), relu(), nn.Dropout(p)]
    classifier.append(nn.Linear(4096, classes))
    layers = {"features": nn.Sequential(*features), "flatten": nn.Flatten()}
    return Named({**layers, "classifier": nn.Sequential(*classifier)})


class Residual(nn.Module):
    """Two convolutions and a way around them, with a projection where the size changes."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = relu()
        self.downsample = None
        if stride != 1:
            projection = nn.Conv2d(inputs, channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x):
        around = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + around)


def resnet18(classes, p):
    layers = OrderedDict()
    layers["conv1"] = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    layers["bn1"] = nn.BatchNorm2d(64)
    layers["relu"] = relu()
    layers["pool"] = nn.MaxPool2d(3, stride=2, padding=1)
    inputs = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        first = Residual(inputs, channels, 1 if stage == 1 else 2)
        layers[f"layer{stage}"] = nn.Sequential(first, Residual(channels, channels, 1))
        inputs = channels
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(512, classes)
    return Named(layers)


class Fire(nn.Module):
    """A squeezing convolution, then two expanding ones side by side."""

    def __init__(self, inputs, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = relu()

    def forward(self, x):
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


def squeezenet(classes, p):
    pool = lambda: nn.MaxPool2d(3, stride=2, ceil_mode=True)
    features = [nn.Conv2d(3, 64, 3, stride=2), relu(), pool()]
    inputs = 64
    for squeezed, expanded in ((16, 64), (32, 128), (48, 192), (64, 256)):
        features += [Fire(inputs, squeezed, expanded), Fire(2 * expanded, squeezed, expanded)]
        if squeezed in (16, 32):
            features.append(pool())
        inputs = 2 * expanded
    classifier = [nn.Dropout(p), nn.Conv2d(512, classes, 1), relu(), nn.AdaptiveAvgPool2d(1)]
    layers = {"features": nn.Sequential(*features), "classifier": nn.Sequential(*classifier)}
    return Named({**layers, "flatten": nn.Flatten()})


# With 1000 classes each has as many parameters as specs/README.md says.
NETWORKS = {
    "alexnet": (alexnet, 62_378_344),
    "alexnet-paper": (alexnet_paper, 60_965_224),
    "alexnet-torchvision": (alexnet_torchvision, 61_100_840),
    "alexnet-half": (alexnet_half, 16_630_440),
    "vgg16": (vgg16, 138_357_544),
    "resnet18": (resnet18, 11_689_512),
    "squeezenet": (squeezenet, 1_235_496),
}


def network(name, classes=1000, p=0.5):
    """The network that the spec of this name describes; its size is checked."""
    make, parameters = NETWORKS[name]
    model = make(classes, p)
    count = sum(parameter.numel() for parameter in model.parameters())
    last = [layer for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))][-1]
    expected = parameters - (1000 - classes) * (math.prod(last.weight.shape[1:]) + 1)
    assert count == expected, f"{name} has {count} parameters, not {expected}"
    return model


def tensors(model):
    """The tensors of a weights file: parameters and running statistics."""
    return {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}


def load(model, weights):
    """Loads a weights file's tensors; a name or a shape that does not fit is an error."""
    counters = {name: value for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")}
    model.load_state_dict({**weights, **counters}, strict=True)
    return model
