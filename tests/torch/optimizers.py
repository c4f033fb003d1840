"""The optimizers of a spec: PyTorch's own where it has them, by hand where it has not (Caffe's form)."""

import torch


def multipliers(layers):
    """(lr_mult, decay_mult) of every parameter that a layer gives other ones than 1."""
    result = {}
    for layer in layers:
        kind, settings = (layer, {}) if isinstance(layer, str) else next(iter(layer.items()))
        for name in ("weight", "bias"):
            values = []
            for word in ("lr_mult", "decay_mult"):
                value = settings.get(word, 1)
                values.append(value.get(name, 1) if isinstance(value, dict) else value)
            if values != [1, 1]:
                result[f"{settings['name']}.{name}"] = tuple(values)
    return result


class CaffeSgd:
    """v = momentum·v + lr·g; w −= v; Nesterov: w −= lr·g + momentum·v. g contains weight_decay·w."""

    def __init__(self, groups, lr, momentum, nesterov):
        del lr
        self.param_groups, self.momentum, self.nesterov = groups, momentum, nesterov
        self.state = {group["params"][0]: {} for group in groups}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            weight, lr = group["params"][0], group["lr"]
            gradient = weight.grad + group["weight_decay"] * weight
            before = self.state[weight].get("momentum_buffer", torch.zeros_like(weight))
            velocity = self.momentum * before + lr * gradient
            self.state[weight]["momentum_buffer"] = velocity
            weight -= lr * gradient + self.momentum * velocity if self.nesterov else velocity


def is_trained(spec, name):
    """Whether a parameter's learning rate is not always 0."""
    return multipliers(spec["layers"]).get(name, (1, 1))[0] != 0


class Optimizer:
    """Steps named leaf tensors with a learning rate that may change."""

    STATES = {"momentum_buffer": "momentum", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}

    def __init__(self, spec, weights):
        kind, settings = next(iter(spec["train"]["optimizer"].items()))
        by_name = multipliers(spec["layers"])
        decay = settings.get("weight_decay", 0.0)
        self.names, self.scales, groups = [], [], []
        for name, weight in weights.items():
            lr_mult, decay_mult = by_name.get(name, (1, 1))
            groups.append({"params": [weight], "weight_decay": decay * decay_mult})
            self.names.append(name)
            self.scales.append(lr_mult)
        if kind == "sgd":
            momentum, nesterov = settings.get("momentum", 0.0), settings.get("nesterov", False)
            made = CaffeSgd if settings.get("form") == "caffe" else torch.optim.SGD
            self.inner = made(groups, lr=1.0, momentum=momentum, nesterov=nesterov)
        else:
            made = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
            betas = (settings.get("beta1", 0.9), settings.get("beta2", 0.999))
            self.inner = made(groups, lr=1.0, betas=betas, eps=settings.get("epsilon", 1e-8), foreach=False)

    def step(self, lr):
        """One update from the tensors' gradients."""
        for group, scale in zip(self.inner.param_groups, self.scales):
            group["lr"] = lr * scale
        self.inner.step()

    def states(self):
        """Moments under netc's names; a parameter whose rate is always 0 has none."""
        result = {}
        for name, scale, group in zip(self.names, self.scales, self.inner.param_groups):
            if scale == 0:
                continue
            for key, value in self.inner.state[group["params"][0]].items():
                if key in self.STATES and value is not None:
                    result[f"optimizer.{name}.{self.STATES[key]}"] = value.detach().clone()
        return result
