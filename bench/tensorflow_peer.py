"""TensorFlow with XLA: the network that onnx_file.py describes in JSON, compiled as one function, to infer or to train.

Images lie with their channels last, as XLA's convolutions on a CPU want them.
"""

import json
import pathlib

import numpy as np
import tensorflow as tf

from peers import DECAY, MOMENTUM, images_of, labels_of, weights_of

# How fast running statistics follow, as in PyTorch.
FOLLOW = 0.1


def laid_out(op, value):
    """A weight as TensorFlow wants it: what is summed over first."""
    if op == "Conv" and value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.transpose(1, 0) if op == "Gemm" and value.ndim == 2 else value


class Tensorflow:
    def __init__(self, work):
        tf.config.threading.set_intra_op_parallelism_threads(work["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.settings = "XLA"
        self.work = work
        self.nodes = json.loads((pathlib.Path(work["folder"]) / "network.json").read_text())
        self.training = work["mode"] == "train"
        weights = weights_of(work)
        read = [(node["op"], name) for node in self.nodes for name in node["inputs"] if name in weights]
        self.weights = {name: tf.Variable(laid_out(op, weights[name])) for op, name in read}
        self.images = tf.constant(images_of(work).transpose(0, 2, 3, 1))
        if self.training:
            self.labels = tf.constant(labels_of(work))
            running = ("running_mean", "running_var")
            self.trained = [value for name, value in self.weights.items() if not name.endswith(running)]
            self.momenta = [tf.Variable(tf.zeros_like(value)) for value in self.trained]
            step = tf.function(self.step, jit_compile=True)
            self.run = lambda: float(step())
        else:
            forward = tf.function(lambda: self.forward(self.images), jit_compile=True)

            def run():
                self.result = forward().numpy()

            self.run = run

    def step(self):
        """A training step; gives the loss."""
        with tf.GradientTape() as tape:
            logits = self.forward(self.images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(self.labels, logits)
            loss = tf.reduce_mean(losses)
        for value, momentum, gradient in zip(self.trained, self.momenta, tape.gradient(loss, self.trained)):
            momentum.assign(MOMENTUM * momentum + gradient + DECAY * value)
            value.assign_sub(self.work["rate"] * momentum)
        return loss

    def forward(self, images):
        values = {"image": images}
        for node in self.nodes:
            inputs = [values[name] if name in values else self.weights.get(name) for name in node["inputs"]]
            values[node["output"]] = getattr(self, node["op"])(node, *inputs)
        return values[self.nodes[-1]["output"]]

    def Conv(self, node, x, weight, bias=None):
        top, left, bottom, right = node["pads"]
        padding = [[0, 0], [top, bottom], [left, right], [0, 0]]
        y = tf.nn.conv2d(x, weight, node["strides"], padding)
        return y if bias is None else y + bias

    def MaxPool(self, node, x):
        top, left, bottom, right = node["pads"]
        rests = [0, 0]
        if node["ceil_mode"]:
            for axis, ends in enumerate(((top, bottom), (left, right))):
                room = x.shape[1 + axis] + sum(ends) - node["kernel_shape"][axis]
                rests[axis] = -room % node["strides"][axis]
        around = [[0, 0], [top, bottom + rests[0]], [left, right + rests[1]], [0, 0]]
        if np.any(around):
            x = tf.pad(x, around, constant_values=x.dtype.min)
        return tf.nn.max_pool2d(x, node["kernel_shape"], node["strides"], "VALID")

    def Gemm(self, node, x, weight, bias):
        return x @ weight + bias

    def BatchNormalization(self, node, x, scale, shift, mean, variance):
        if not self.training:
            return (x - mean) * (scale * tf.math.rsqrt(variance + node["epsilon"])) + shift
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(x, scale, shift, epsilon=node["epsilon"])[:3]
        # The variance that is given is already the unbiased one, which running statistics follow.
        for running, batch in ((mean, batch_mean), (variance, batch_variance)):
            running.assign_add(FOLLOW * (batch - running))
        return y

    def Dropout(self, node, x):
        return tf.nn.dropout(x, self.work["dropout"]) if self.training and self.work["dropout"] else x

    def Relu(self, node, x):
        return tf.nn.relu(x)

    def GlobalAveragePool(self, node, x):
        return tf.reduce_mean(x, [1, 2], keepdims=True)

    def Flatten(self, node, x):
        # By channel first, as the weights that follow are numbered.
        return tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [x.shape[0], -1])

    def LRN(self, node, x):
        alpha = node["alpha"] / node["size"]
        return tf.nn.local_response_normalization(x, node["size"] // 2, node["bias"], alpha, node["beta"])

    def Reshape(self, node, x):
        return tf.transpose(tf.reshape(tf.transpose(x, [0, 3, 1, 2]), node["shape"]), [0, 2, 3, 1])

    def Concat(self, node, *parts):
        return tf.concat(parts, 3)

    def Add(self, node, *parts):
        return parts[0] + parts[1]

    def output(self):
        return self.result
