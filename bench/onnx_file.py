"""A PyTorch network as an ONNX file, and as the same in JSON without the weights.

torch.onnx.export writes response normalisation as a pooling of squares and padding as a layer of its own, which the
peers run more slowly than the operators that ONNX has for them. So the graph is written here, operator by operator.
"""

import json
import operator

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from networks import GroupedResponseNorm

OPSET = 13


class Tracer(fx.Tracer):
    def is_leaf_module(self, module, name):
        return isinstance(module, GroupedResponseNorm) or super().is_leaf_module(module, name)


def pair(value):
    return list(value) if isinstance(value, (tuple, list)) else [value, value]


class Writer:
    """Nodes and initializers of the graph so far."""

    def __init__(self, training):
        self.training = training
        self.nodes = []
        self.initializers = []
        # Zeros around an image that the convolution after them is to take over: left, right, top, bottom.
        self.pads = {}

    def tensor(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind, inputs, output, **settings):
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **settings))
        return output

    def parameters(self, layer, path, names):
        return [self.tensor(f"{path}.{name}", getattr(layer, name).detach().numpy()) for name in names]

    def response_norm(self, norm, x, out):
        return self.node("LRN", [x], out, alpha=norm.alpha, beta=norm.beta, bias=float(norm.k), size=norm.size)

    def layer(self, layer, path, source, out, shapes):
        """One module that reads `source`; gives the name of its result."""
        before, after = shapes
        x = source
        if isinstance(layer, nn.Dropout):
            return self.node("Dropout", [x], out) if self.training else x
        if isinstance(layer, nn.ZeroPad2d):
            self.pads[x] = layer.padding
            return x
        if isinstance(layer, nn.Conv2d):
            left, right, top, bottom = self.pads.pop(x, (0, 0, 0, 0))
            height, width = layer.padding
            pads = [top + height, left + width, bottom + height, right + width]
            names = ["weight"] if layer.bias is None else ["weight", "bias"]
            settings = {"kernel_shape": list(layer.kernel_size), "strides": list(layer.stride), "pads": pads}
            return self.node("Conv", [x, *self.parameters(layer, path, names)], out, group=layer.groups, **settings)
        if isinstance(layer, nn.Linear):
            return self.node("Gemm", [x, *self.parameters(layer, path, ["weight", "bias"])], out, transB=1)
        if isinstance(layer, nn.BatchNorm2d):
            names = ["weight", "bias", "running_mean", "running_var"]
            return self.node("BatchNormalization", [x, *self.parameters(layer, path, names)], out, epsilon=layer.eps)
        if isinstance(layer, nn.ReLU):
            return self.node("Relu", [x], out)
        if isinstance(layer, nn.MaxPool2d):
            settings = {"kernel_shape": pair(layer.kernel_size), "strides": pair(layer.stride)}
            return self.node("MaxPool", [x], out, pads=pair(layer.padding) * 2, ceil_mode=int(layer.ceil_mode), **settings)
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            if before == after:
                return x
            assert tuple(after[2:]) == (1, 1), f"{path}: ONNX has no average of {after}"
            return self.node("GlobalAveragePool", [x], out)
        if isinstance(layer, nn.Flatten):
            return self.node("Flatten", [x], out)
        if isinstance(layer, nn.LocalResponseNorm):
            return self.response_norm(layer, x, out)
        if isinstance(layer, GroupedResponseNorm):
            batch, channels, height, width = before
            apart = [batch * layer.groups, channels // layer.groups, height, width]
            apart = self.node("Reshape", [x, self.tensor(f"{path}.apart", np.array(apart))], f"{out}_apart")
            normed = self.response_norm(layer.norm, apart, f"{out}_normed")
            return self.node("Reshape", [normed, self.tensor(f"{path}.together", np.array(before))], out)
        raise TypeError(f"{path}: no ONNX for {type(layer).__name__}")


def write(model, batch, path, training):
    """Writes `model` for `batch` images of 3×224×224, and the JSON beside it; dropout is left out but for training."""
    graph = Tracer().trace(model)
    traced = fx.GraphModule(model, graph)
    example = torch.zeros(batch, 3, 224, 224)
    with torch.no_grad():
        ShapeProp(traced).propagate(example)
    shape = lambda node: list(node.meta["tensor_meta"].shape)
    writer = Writer(training)
    names = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            names[node] = "image"
        elif node.op == "call_module":
            source = node.args[0]
            layer = traced.get_submodule(node.target)
            names[node] = writer.layer(layer, node.target, names[source], node.name, (shape(source), shape(node)))
        elif node.op == "call_function" and node.target is torch.cat:
            names[node] = writer.node("Concat", [names[part] for part in node.args[0]], node.name, axis=1)
        elif node.op == "call_function" and node.target is operator.add:
            names[node] = writer.node("Add", [names[part] for part in node.args], node.name)
        elif node.op == "output":
            result = node.args[0]
        else:
            raise TypeError(f"{node.name}: no ONNX for {node.target}")
    values = [("image", example.shape), (names[result], shape(result))]
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, list(size))] for name, size in values)
    body = helper.make_graph(writer.nodes, "network", inputs, outputs, writer.initializers)
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(made)
    onnx.save(made, path)
    path.with_suffix(".json").write_text(json.dumps([described(node, writer.initializers) for node in writer.nodes]))


def described(node, initializers):
    """A node in JSON, for peers without a reader of ONNX; weights have the names that they have in a weights file."""
    settings = {setting.name: helper.get_attribute_value(setting) for setting in node.attribute}
    inputs = list(node.input)
    if node.op_type == "Reshape":
        shape = inputs.pop()
        settings["shape"] = next(numpy_helper.to_array(value).tolist() for value in initializers if value.name == shape)
    return {"op": node.op_type, "inputs": inputs, "output": node.output[0], **settings}
