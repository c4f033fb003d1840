"""A netc spec as PyTorch computes it.

A spec is a Python dictionary with the words of specs/README.md. `to_yaml` writes it as text; `Network` runs it with
torch functions. Nothing here is shared with netc: this is the other half of the comparison.
"""

import math

import torch
import torch.nn.functional as F


# ---- text ------------------------------------------------------------------------------------------------------------


def to_yaml(spec):
    """The spec as netc reads it."""
    lines = [f"net: {spec['net']}", f"input: {flow(spec['input'])}", "layers:"]
    for layer in spec["layers"]:
        lines.append(f"  - {layer}" if isinstance(layer, str) else f"  - {flow(layer)[1:-1]}")
    lines.append("train:")
    lines += [f"  {key}: {flow(value)}" for key, value in spec["train"].items()]
    return "\n".join(lines) + "\n"


def flow(value):
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        # A number without a point before its exponent is a string to some YAML readers.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return str(value)


# ---- geometry --------------------------------------------------------------------------------------------------------


def pair(value):
    """Height and width from one number or two."""
    return list(value) if isinstance(value, (list, tuple)) else [value, value]


def sides(padding, size, kernel, stride):
    """Padding as [[top, bottom], [left, right]]; `kernel` is the dilated one."""
    if padding == "same":
        result = []
        for axis in range(2):
            total = max(0, (math.ceil(size[axis] / stride[axis]) - 1) * stride[axis] + kernel[axis] - size[axis])
            result.append([total // 2, total - total // 2])
        return result
    if isinstance(padding, dict):
        by_side = [padding.get(side, 0) for side in ("top", "bottom", "left", "right")]
        return [by_side[:2], by_side[2:]]
    return [pair(padding), pair(padding)]


def output_size(size, kernel, stride, pads, rounding):
    """The size rule of one axis; an inexact size must say how it rounds."""
    room = size + sum(pads) - kernel
    assert room >= 0, "the window is larger than the padded input"
    assert room % stride == 0 or rounding, "inexact size without rounding"
    return (math.ceil(room / stride) if rounding == "ceil" else room // stride) + 1


def pad(x, pads, value=0.0):
    """F.pad by [[top, bottom], [left, right]]."""
    (top, bottom), (left, right) = pads
    return F.pad(x, (left, right, top, bottom), value=value) if any((top, bottom, left, right)) else x


# ---- layers ----------------------------------------------------------------------------------------------------------


def conv(x, weight, bias, settings):
    """Padding always goes through F.pad, as PyTorch's own is symmetric."""
    stride, dilation = pair(settings.get("stride", 1)), pair(settings.get("dilation", 1))
    kernel = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:])]
    size = list(x.shape[2:])
    pads = sides(settings.get("padding", 0), size, kernel, stride)
    for axis in range(2):
        out = output_size(size[axis], kernel[axis], stride[axis], pads[axis], settings.get("rounding"))
        missing = (out - 1) * stride[axis] + kernel[axis] - size[axis] - sum(pads[axis])
        pads[axis][1] += max(0, missing)
    return F.conv2d(pad(x, pads), weight, bias, stride, 0, dilation, settings.get("groups", 1))


def lrn(x, settings):
    """PyTorch's function on each group of channels; the 2012 paper's text does not divide alpha by the size. PyTorch has none
    within a map: there it is made from the mean of a square of pixels."""
    size, alpha = settings.get("size", 5), settings.get("alpha", 1e-4)
    within_map = settings.get("region") == "map"
    if not settings.get("divide_by_size", True):
        alpha *= size * size if within_map else size
    if within_map:
        before, after = size // 2, (size - 1) // 2
        mean = F.avg_pool2d(F.pad(x * x, (before, after, before, after)), size, 1)
        return x / (settings.get("k", 1) + alpha * mean) ** settings.get("beta", 0.75)
    groups = x.chunk(settings.get("groups", 1), dim=1)
    done = [F.local_response_norm(g, size, alpha, settings.get("beta", 0.75), settings.get("k", 1)) for g in groups]
    return torch.cat(done, dim=1)


def pool_geometry(x, settings):
    kernel = pair(settings["kernel_size"])
    stride = pair(settings.get("stride", kernel))
    pads = sides(settings.get("padding", 0), list(x.shape[2:]), kernel, stride)
    for axis in range(2):
        output_size(x.shape[2 + axis], kernel[axis], stride[axis], pads[axis], settings.get("rounding"))
    return kernel, stride, pads, settings.get("rounding") == "ceil"


def symmetric(pads):
    """PyTorch's own padding argument, where it can say it."""
    (top, bottom), (left, right) = pads
    return (top, left) if top == bottom and left == right else None


def maxpool(x, settings):
    kernel, stride, pads, ceil = pool_geometry(x, settings)
    padding = symmetric(pads)
    if padding is None:
        assert not ceil, "PyTorch has no asymmetric padding with ceil"
        x, padding = pad(x, pads, -math.inf), 0
    return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)


def avgpool(x, settings):
    kernel, stride, pads, ceil = pool_geometry(x, settings)
    include = settings.get("count_include_pad", True)
    padding = symmetric(pads)
    if padding is not None:
        return F.avg_pool2d(x, kernel, stride, padding, ceil, include)
    assert not ceil, "PyTorch has no asymmetric padding with ceil"
    mean = F.avg_pool2d(pad(x, pads), kernel, stride)
    # The share of the window that lies in the image, where only that counts.
    return mean if include else mean / F.avg_pool2d(pad(torch.ones_like(x), pads), kernel, stride)


class Network:
    """A spec that can be run."""

    def __init__(self, spec):
        self.layers = []
        running = {}
        last = spec["input"]["name"]
        for layer in spec["layers"]:
            kind, settings = (layer, {}) if isinstance(layer, str) else next(iter(layer.items()))
            running[kind] = running.get(kind, 0) + 1
            name = settings.get("name", f"{kind}{running[kind]}")
            sources = settings.get("from", last)
            self.layers.append((name, kind, settings, [sources] if isinstance(sources, str) else sources))
            last = name
        self.input = spec["input"]
        self.loss = spec["train"]["loss"]

    def parameters(self, draw):
        """First parameters and running statistics by PyTorch's names, as numpy arrays. `draw(name, shape, mean, std)`
        makes one, given the mean and the standard deviation that keep activations near 1."""
        made, shapes = {}, {}

        def parameter(layer, name, shape, mean, std):
            made[f"{layer}.{name}"] = draw(f"{layer}.{name}", shape, mean, std)

        def visit(name, kind, settings, inputs):
            channels = inputs[0].shape[1]
            if kind in ("conv", "linear"):
                if kind == "conv":
                    shape = [settings["kernels"], channels // settings.get("groups", 1), *pair(settings["kernel_size"])]
                else:
                    shape = [settings["features"], inputs[0][0].numel()]
                parameter(name, "weight", shape, 0.0, 1 / math.sqrt(math.prod(shape[1:])))
                if settings.get("bias", True):
                    parameter(name, "bias", shape[:1], 0.0, 0.3)
            if kind == "batchnorm":
                parameter(name, "weight", [channels], 1.0, 0.2)
                parameter(name, "bias", [channels], 0.0, 0.3)
                parameter(name, "running_mean", [channels], 0.0, 0.3)
                parameter(name, "running_var", [channels], 1.0, 0.0)
            state = {key: torch.tensor(value) for key, value in made.items()}
            return self.run_layer(name, kind, settings, inputs, state, False, {})

        self.walk(torch.zeros([1, *self.input["shape"]], dtype=torch.float32), visit)
        return made

    def walk(self, x, visit):
        """Calls `visit` on every layer in order and gives the results by name, and the last one's name."""
        results = {self.input["name"]: x}
        for name, kind, settings, sources in self.layers:
            results[name] = visit(name, kind, settings, [results[source] for source in sources])
        return results, self.layers[-1][0]

    def run_layer(self, name, kind, settings, inputs, state, training, updates):
        x = inputs[0]
        if kind == "conv":
            return conv(x, state[f"{name}.weight"], state.get(f"{name}.bias"), settings)
        if kind == "linear":
            return F.linear(x.flatten(1), state[f"{name}.weight"], state.get(f"{name}.bias"))
        if kind == "relu":
            return F.relu(x)
        if kind == "sigmoid":
            return torch.sigmoid(x)
        if kind == "tanh":
            return torch.tanh(x)
        if kind == "softmax":
            return F.softmax(x, dim=1)
        if kind == "flatten":
            return x.flatten(1)
        if kind == "lrn":
            return lrn(x, settings)
        if kind == "maxpool":
            return maxpool(x, settings)
        if kind == "avgpool":
            return avgpool(x, settings)
        if kind == "global_avgpool":
            return F.adaptive_avg_pool2d(x, 1)
        if kind == "adaptive_avgpool":
            return F.adaptive_avg_pool2d(x, pair(settings["output"]))
        if kind == "dropout":
            assert settings["p"] == 0, "dropout's random numbers differ by design"
            return x
        if kind == "batchnorm":
            mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
            if training:
                mean, variance = mean.clone(), variance.clone()
                updates[f"{name}.running_mean"], updates[f"{name}.running_var"] = mean, variance
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            momentum, epsilon = settings.get("momentum", 0.1), settings.get("epsilon", 1e-5)
            return F.batch_norm(x, mean, variance, weight, bias, training, momentum, epsilon)
        if kind == "add":
            total = inputs[0]
            for other in inputs[1:]:
                total = total + other
            return total
        if kind == "concat":
            return torch.cat(inputs, dim=1)
        raise ValueError(f"no layer {kind}")

    def forward(self, state, x, training):
        """(last layer's result, new running statistics)."""
        updates = {}

        def visit(name, kind, settings, inputs):
            return self.run_layer(name, kind, settings, inputs, state, training, updates)

        results, last = self.walk(x, visit)
        return results[last], updates

    def loss_of(self, state, x, answers):
        """(loss, result, new running statistics) in training mode."""
        output, updates = self.forward(state, x, True)
        if self.loss == "mse":
            return F.mse_loss(output, answers), output, updates
        smoothing = 0.0 if self.loss == "cross_entropy" else self.loss["cross_entropy"]["label_smoothing"]
        return F.cross_entropy(output, answers, label_smoothing=smoothing), output, updates
