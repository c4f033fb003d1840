"""The reference cases: what is compared. README.md says what a case file holds."""

from dataclasses import dataclass, field


@dataclass
class Case:
    """One file."""

    name: str
    shape: list
    layers: list
    kind: str = "layer"  # layer, loss, optimizer or network
    batch: int = 2
    canvas: bool = True  # the layers read a picture held in a parameter, so that its gradient can be seen
    loss: object = "mse"
    optimizer: dict = field(default_factory=lambda: {"sgd": {"momentum": 0}})
    rates: list = None  # learning rate of each step; None: one step that moves the parameters by about their size
    pixels: str = "normal"  # or integers (many ties and zeros), large (±30), far (near 200)
    keep: str = "all"  # states after each step, or after the last


def conv(kernels, kernel_size, **settings):
    return {"conv": {"name": settings.pop("name", "conv1"), "kernels": kernels, "kernel_size": kernel_size, **settings}}


def linear(features, **settings):
    return {"linear": {"name": settings.pop("name", "fc1"), "features": features, **settings}}


def edges(top, bottom, left, right):
    return {"top": top, "bottom": bottom, "left": left, "right": right}


def convolutions():
    yield Case("conv", [3, 7, 9], [conv(4, 3)])
    yield Case("conv_padding", [3, 7, 6], [conv(5, 3, padding=1)])
    yield Case("conv_stride", [2, 9, 7], [conv(3, 3, stride=2)])
    yield Case("conv_stride_4", [2, 15, 15], [conv(3, 7, stride=4)])
    yield Case("conv_stride_over_kernel", [2, 10, 8], [conv(3, 2, stride=[4, 3])])
    yield Case("conv_stem", [3, 32, 32], [conv(6, 11, stride=4, padding=[1, 2])], canvas=False)
    yield Case("conv_stem_odd", [1, 13, 17], [conv(7, 5, stride=[2, 3])], canvas=False, batch=5)
    yield Case("conv_asymmetric", [2, 6, 7], [conv(3, 3, padding=edges(0, 2, 1, 0))])
    yield Case("conv_before_after", [2, 8, 8], [conv(3, 5, stride=2, padding=[1, 2])])
    yield Case("conv_same", [3, 7, 8], [conv(4, 3, padding="same")])
    yield Case("conv_same_even", [2, 7, 6], [conv(3, 4, padding="same")])
    yield Case("conv_same_stride", [2, 8, 9], [conv(3, 3, stride=2, padding="same")])
    yield Case("conv_groups", [6, 5, 6], [conv(4, 3, padding=1, groups=2)])
    yield Case("conv_groups_odd", [9, 5, 5], [conv(15, 3, groups=3)], batch=3)
    yield Case("conv_depthwise", [5, 6, 6], [conv(5, 3, padding=1, groups=5)])
    yield Case("conv_depthwise_twice", [3, 6, 7], [conv(6, 3, groups=3)])
    yield Case("conv_dilation", [2, 9, 10], [conv(3, 3, dilation=2)])
    yield Case("conv_dilation_axes", [2, 10, 8], [conv(3, 3, dilation=[3, 2], padding=2)])
    yield Case("conv_no_bias", [3, 5, 5], [conv(4, 3, bias=False)])
    yield Case("conv_1x1", [5, 4, 7], [conv(6, 1)])
    yield Case("conv_1x1_stride", [3, 7, 7], [conv(4, 1, stride=2)])
    yield Case("conv_wide", [2, 6, 11], [conv(3, [1, 7])])
    yield Case("conv_tall", [2, 11, 6], [conv(3, [5, 2], stride=[2, 1], padding=edges(1, 1, 0, 1))])
    yield Case("conv_floor", [2, 8, 9], [conv(3, 3, stride=[2, 4], rounding="floor")])
    yield Case("conv_ceil", [2, 8, 9], [conv(3, 3, stride=[2, 4], rounding="ceil")])
    yield Case("conv_whole_image", [3, 5, 4], [conv(6, [5, 4])])
    yield Case("conv_one_pixel", [4, 1, 1], [conv(3, 3, padding=1)])
    yield Case("conv_over_tiles", [5, 7, 11], [conv(35, 3, padding=1)], batch=1)
    yield Case("conv_deep", [34, 5, 5], [conv(18, 3, padding=1)], batch=1)
    yield Case("conv_batch", [2, 5, 5], [conv(3, 3)], batch=7)
    everything = conv(6, [3, 2], stride=[2, 3], padding=edges(2, 1, 0, 3), dilation=[2, 3], groups=2)
    yield Case("conv_everything", [4, 10, 13], [everything])
    yield Case("conv_twice", [2, 7, 7], [conv(5, 3), conv(3, 3, name="conv2", padding=1)])


def dense():
    yield Case("linear", [7], [linear(5)], batch=3)
    yield Case("linear_no_bias", [6], [linear(4, bias=False)])
    yield Case("linear_odd", [37], [linear(19)], batch=5)
    yield Case("linear_one", [1], [linear(1)], batch=1)
    yield Case("linear_wide", [9], [linear(70)], batch=4)
    yield Case("linear_of_image", [3, 4, 2], [linear(5)])
    yield Case("linear_of_flatten", [3, 2, 5], ["flatten", linear(5)])
    yield Case("linear_input", [11], [linear(6)], batch=4, canvas=False)
    yield Case("linear_twice", [8], [linear(13), "tanh", linear(3, name="fc2")], batch=3)
    yield Case("flatten", [3, 2, 4], ["flatten"])


def elementwise():
    for kind in ("relu", "sigmoid", "tanh"):
        yield Case(kind, [3, 5, 6], [kind])
        yield Case(f"{kind}_vector", [37], [kind], batch=3)
    yield Case("relu_at_zero", [3, 5, 5], ["relu"], pixels="integers")
    yield Case("softmax", [9], ["softmax"], batch=3)
    yield Case("softmax_of_image", [5, 3, 4], ["softmax"])
    yield Case("softmax_far", [7], ["softmax"], pixels="far")
    yield Case("dropout_none", [3, 4, 4], [{"dropout": {"p": 0.0}}])


def normalisations():
    strong = {"alpha": 0.8, "beta": 0.75, "k": 2}
    yield Case("lrn", [9, 3, 4], [{"lrn": {"size": 5, **strong}}])
    yield Case("lrn_defaults", [8, 3, 3], ["lrn"])
    yield Case("lrn_alexnet", [12, 3, 3], [{"lrn": {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2}}], pixels="large")
    yield Case("lrn_even_2", [7, 3, 3], [{"lrn": {"size": 2, **strong}}])
    yield Case("lrn_even_4", [9, 2, 3], [{"lrn": {"size": 4, **strong}}])
    yield Case("lrn_size_1", [4, 3, 3], [{"lrn": {"size": 1, **strong}}])
    yield Case("lrn_over_channels", [4, 3, 3], [{"lrn": {"size": 11, **strong}}])
    yield Case("lrn_paper", [9, 3, 3], [{"lrn": {"size": 5, "divide_by_size": False, **strong}}])
    yield Case("lrn_paper_even", [6, 3, 3], [{"lrn": {"size": 4, "divide_by_size": False, **strong}}])
    yield Case("lrn_groups", [8, 3, 3], [{"lrn": {"size": 5, "groups": 2, **strong}}])
    yield Case("lrn_groups_even", [9, 2, 2], [{"lrn": {"size": 4, "groups": 3, **strong}}])
    yield Case("lrn_beta_half", [7, 3, 3], [{"lrn": {"size": 3, "alpha": 1.0, "beta": 0.5, "k": 1}}])
    yield Case("lrn_beta_one", [7, 3, 3], [{"lrn": {"size": 3, "alpha": 1.0, "beta": 1.0, "k": 1}}])
    yield Case("lrn_beta_odd", [7, 3, 3], [{"lrn": {"size": 3, "alpha": 2.0, "beta": 0.6, "k": 1.5}}])
    within = {"region": "map", **strong}
    yield Case("lrn_map", [3, 7, 6], [{"lrn": {"size": 5, **within}}])
    yield Case("lrn_map_even", [2, 5, 7], [{"lrn": {"size": 4, **within}}])
    yield Case("lrn_map_over_image", [2, 3, 4], [{"lrn": {"size": 11, **within}}])
    yield Case("lrn_map_paper", [2, 6, 5], [{"lrn": {"size": 3, "divide_by_size": False, **within}}])
    settings = {"size": 5, "region": "map", "alpha": 1e-3, "beta": 0.75, "k": 1}
    yield Case("lrn_map_alexnet_2012", [4, 6, 6], [{"lrn": settings}], pixels="large")
    yield Case("lrn_map_beta_odd", [9, 4, 5], [{"lrn": {**settings, "size": 2, "alpha": 2.0, "beta": 0.6}}])
    norm = {"batchnorm": {"name": "bn1"}}
    yield Case("batchnorm", [5, 4, 3], [norm], batch=3)
    yield Case("batchnorm_vector", [6], [norm], batch=5)
    yield Case("batchnorm_input", [3, 4, 5], [norm], batch=3, canvas=False)
    slow = {"batchnorm": {"name": "bn1", "epsilon": 1e-3, "momentum": 0.25}}
    yield Case("batchnorm_steps", [3, 3, 3], [slow, linear(2)], batch=4, canvas=False, rates=[0.25, 0.125, 0.5])


def pools():
    yield Case("maxpool", [3, 6, 8], [{"maxpool": {"kernel_size": 2}}])
    overlapping = {"maxpool": {"kernel_size": 3, "stride": 2}}
    yield Case("maxpool_overlap", [3, 7, 9], [overlapping])
    yield Case("maxpool_ties", [3, 9, 9], [overlapping], pixels="integers")
    yield Case("maxpool_ties_dense", [2, 8, 8], [{"maxpool": {"kernel_size": 3, "stride": 1}}], pixels="integers")
    padded = {"maxpool": {"kernel_size": 3, "stride": 2, "padding": 1}}
    yield Case("maxpool_padding", [2, 7, 5], [padded])
    yield Case("maxpool_padding_ties", [2, 7, 7], [padded], pixels="integers")
    yield Case("maxpool_floor", [2, 8, 9], [{"maxpool": {"kernel_size": 3, "stride": [2, 4], "rounding": "floor"}}])
    ceil = {"kernel_size": 3, "stride": 2, "rounding": "ceil"}
    yield Case("maxpool_ceil", [2, 8, 6], [{"maxpool": ceil}])
    yield Case("maxpool_ceil_ties", [2, 8, 8], [{"maxpool": ceil}], pixels="integers")
    yield Case("maxpool_ceil_padding", [2, 6, 8], [{"maxpool": {**ceil, "padding": 1}}])
    dropped = {"kernel_size": 2, "stride": 3, "padding": 1, "rounding": "ceil"}
    yield Case("maxpool_ceil_dropped", [2, 5, 8], [{"maxpool": dropped}])
    uneven = {"kernel_size": 3, "stride": 2, "padding": edges(0, 1, 2, 1)}
    yield Case("maxpool_asymmetric", [2, 8, 8], [{"maxpool": uneven}])
    yield Case("maxpool_same", [2, 7, 8], [{"maxpool": {"kernel_size": 2, "stride": 1, "padding": "same"}}])
    yield Case("maxpool_tall", [2, 9, 5], [{"maxpool": {"kernel_size": [3, 2], "stride": [2, 1]}}])
    yield Case("maxpool_gaps", [2, 8, 8], [{"maxpool": {"kernel_size": 2, "stride": 3}}])
    yield Case("maxpool_negative", [2, 5, 5], [conv(3, 1, bias=False), "sigmoid", conv(2, 1, name="conv2"), padded])
    yield Case("avgpool", [3, 6, 8], [{"avgpool": {"kernel_size": 2}}])
    yield Case("avgpool_overlap", [3, 7, 9], [{"avgpool": {"kernel_size": 3, "stride": 2}}])
    for word, include in (("counted", True), ("not_counted", False)):
        setting = {"count_include_pad": include}
        padding = {"kernel_size": 3, "stride": 2, "padding": 1, **setting}
        yield Case(f"avgpool_padding_{word}", [2, 7, 5], [{"avgpool": padding}])
        yield Case(f"avgpool_ceil_{word}", [2, 8, 6], [{"avgpool": {**ceil, **setting}}])
        yield Case(f"avgpool_ceil_padding_{word}", [2, 6, 8], [{"avgpool": {**ceil, "padding": 1, **setting}}])
        yield Case(f"avgpool_ceil_dropped_{word}", [2, 5, 8], [{"avgpool": {**dropped, **setting}}])
        yield Case(f"avgpool_asymmetric_{word}", [2, 8, 8], [{"avgpool": {**uneven, **setting}}])
        same = {"kernel_size": [3, 4], "stride": [2, 1], "padding": "same", **setting}
        yield Case(f"avgpool_same_{word}", [2, 8, 7], [{"avgpool": same}])
    yield Case("avgpool_floor", [2, 8, 9], [{"avgpool": {"kernel_size": [2, 3], "stride": [3, 4], "rounding": "floor"}}])
    yield Case("global_avgpool", [4, 3, 5], ["global_avgpool"])
    yield Case("adaptive_avgpool", [3, 7, 7], [{"adaptive_avgpool": {"output": 3}}])
    yield Case("adaptive_avgpool_axes", [2, 9, 5], [{"adaptive_avgpool": {"output": [4, 2]}}])
    yield Case("adaptive_avgpool_exact", [2, 6, 6], [{"adaptive_avgpool": {"output": 6}}])
    yield Case("adaptive_avgpool_grows", [2, 3, 4], [{"adaptive_avgpool": {"output": [5, 6]}}])


def joins():
    stem = conv(4, 3, name="stem", padding=1)
    left, right = conv(4, 1, name="left"), {"conv": {**conv(4, 3, padding=1)["conv"], "name": "right", "from": "stem"}}
    yield Case("add", [3, 4, 5], [stem, left, right, {"add": {"from": ["left", "right"]}}])
    yield Case("add_skip", [3, 4, 5], [stem, left, "relu", {"add": {"from": ["relu1", "stem"]}}])
    yield Case("add_three", [3, 4, 4], [stem, left, right, {"add": {"from": ["left", "stem", "right"]}}])
    yield Case("add_vector", [6], [linear(5), "tanh", {"add": {"from": ["tanh1", "fc1"]}}])
    thin = {"conv": {**conv(3, 3, padding=1)["conv"], "name": "thin", "from": "stem"}}
    joined = {"concat": {"from": ["stem", "thin", "left"]}}
    yield Case("concat", [3, 4, 5], [stem, left, thin, joined])
    yield Case("concat_then_conv", [3, 4, 5], [stem, left, thin, joined, conv(5, 3, name="last")])
    yield Case("concat_vector", [6], [linear(5), "sigmoid", {"concat": {"from": ["sigmoid1", "fc1"]}}])
    pooled = {"maxpool": {"name": "pool", "kernel_size": 3, "stride": 1, "padding": 1, "from": "stem"}}
    yield Case("fan_out", [2, 5, 5], [stem, left, pooled, {"add": {"from": ["left", "pool"]}}, "relu",
                                     {"add": {"from": ["relu1", "stem"]}}])


def losses():
    def case(name, layers, **settings):
        return Case(name, [6], layers, kind="loss", batch=5, **settings)

    smooth = {"cross_entropy": {"label_smoothing": 0.1}}
    yield case("loss_cross_entropy", [linear(7)], loss="cross_entropy")
    yield case("loss_cross_entropy_bare", ["tanh"], loss="cross_entropy")
    yield case("loss_cross_entropy_large", ["flatten"], loss="cross_entropy", pixels="large")
    yield case("loss_cross_entropy_smooth", [linear(7)], loss=smooth)
    yield case("loss_cross_entropy_smooth_large", ["flatten"], loss=smooth, pixels="large")
    yield case("loss_cross_entropy_two", [linear(2)], loss="cross_entropy")
    yield case("loss_cross_entropy_many", [linear(131)], loss="cross_entropy")
    yield case("loss_mse", [linear(3)])
    yield Case("loss_mse_image", [2, 3, 4], [conv(3, 2)], kind="loss", batch=3)


RATES = [0.5, 0.5, 0.25, 0.0625, 0.3, 0.01]


def optimizers():
    def case(name, optimizer, layers=None, rates=None):
        layers = layers or [linear(7), "tanh", linear(3, name="fc2")]
        return Case(f"optimizer_{name}", [5], layers, kind="optimizer", batch=4, canvas=False, loss="cross_entropy",
                    optimizer=optimizer, rates=rates or RATES)

    def sgd(**settings):
        return {"sgd": settings}

    yield case("sgd", sgd(momentum=0))
    yield case("sgd_decay", sgd(momentum=0, weight_decay=0.05))
    yield case("momentum", sgd(momentum=0.9))
    yield case("momentum_decay", sgd(momentum=0.9, weight_decay=0.05))
    yield case("nesterov", sgd(momentum=0.9, weight_decay=0.02, nesterov=True))
    yield case("caffe", sgd(momentum=0.9, weight_decay=0.05, form="caffe"))
    yield case("caffe_nesterov", sgd(momentum=0.8, weight_decay=0.05, nesterov=True, form="caffe"))
    bias = {"weight": 1, "bias": 2}
    caffe = linear(7, lr_mult=bias, decay_mult={"weight": 1, "bias": 0})
    scaled = [caffe, "tanh", linear(3, name="fc2", lr_mult=0.1, decay_mult=3)]
    yield case("multipliers", sgd(momentum=0.9, weight_decay=0.05), scaled)
    yield case("multipliers_caffe", sgd(momentum=0.9, weight_decay=0.05, form="caffe"), scaled)
    frozen = [linear(7, lr_mult=0), "tanh", linear(3, name="fc2")]
    yield case("frozen", sgd(momentum=0.9, weight_decay=0.05), frozen)
    small = [rate / 8 for rate in RATES]
    yield case("adam", {"adam": {}}, rates=small)
    settings = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "weight_decay": 0.05}
    yield case("adam_settings", {"adam": settings}, rates=small)
    yield case("adam_multipliers", {"adam": {"weight_decay": 0.05}}, scaled, small)
    yield case("adamw", {"adamw": {"weight_decay": 0.05}}, rates=small)
    yield case("adamw_settings", {"adamw": {**settings, "weight_decay": 0.3}}, rates=small)
    yield case("adamw_multipliers", {"adamw": {"weight_decay": 0.05}}, scaled, small)


def networks():
    def case(name, shape, layers, **settings):
        made = {"loss": "cross_entropy", "rates": [0.05, 0.05, 0.02, 0.02], "keep": "last", "batch": 4}
        made["optimizer"] = {"sgd": {"momentum": 0.9, "weight_decay": 5e-4}}
        return Case(f"network_{name}", shape, layers, kind="network", canvas=False, **{**made, **settings})

    lrn = {"lrn": {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2}}
    pool = {"maxpool": {"kernel_size": 3, "stride": 2}}
    none = {"dropout": {"p": 0.0}}

    def alexnet(first, second, groups, padding):
        body = [conv(first, 11, stride=4, **padding), "relu", lrn, pool]
        body += [conv(second, 5, name="conv2", padding=2, groups=groups), "relu", lrn, pool]
        body += [conv(second, 3, name="conv3", padding=1), "relu"]
        body += [conv(second, 3, name="conv4", padding=1, groups=groups), "relu"]
        body += [conv(first, 3, name="conv5", padding=1, groups=groups), "relu", pool, "flatten"]
        body += [linear(24, name="fc6"), "relu", none, linear(20, name="fc7"), "relu", none, linear(10, name="fc8")]
        return body

    # 64 pixels tile as 224 do: 15, 7, 3 and 1.
    few = {"batch": 2, "rates": [0.05, 0.05, 0.02]}
    yield case("alexnet", [3, 64, 64], alexnet(8, 12, 1, {"padding": [1, 2]}), **few)
    yield case("alexnet_grouped", [3, 64, 64], alexnet(8, 12, 2, {"padding": [1, 2]}), **few)
    yield case("alexnet_half", [3, 64, 64], alexnet(6, 9, 1, {"padding": 2, "rounding": "floor"}), **few)
    lenet = [conv(6, 5, padding=2), "relu", {"maxpool": {"kernel_size": 2}}, conv(10, 5, name="conv2"), "relu",
             {"maxpool": {"kernel_size": 2}}, "flatten", linear(30, name="fc3"), "relu", linear(10, name="fc4")]
    yield case("lenet_20_steps", [1, 28, 28], lenet, batch=2, rates=[0.02] * 15 + [0.002] * 5)

    def bn(name, **settings):
        return {"batchnorm": {"name": name, **settings}}

    residual = [conv(6, 3, name="stem", padding=1, bias=False), bn("bn0"), {"relu": {"name": "in"}},
                conv(8, 3, stride=2, padding=[0, 1], bias=False), bn("bn1"), "relu",
                conv(8, 3, name="conv2", padding=1, bias=False), bn("bn2"),
                conv(8, 1, name="shortcut", stride=2, bias=False, rounding="floor", **{"from": "in"}), bn("bn3"),
                {"add": {"from": ["bn2", "bn3"]}}, "relu", "global_avgpool", linear(5, name="fc")]
    yield case("residual", [3, 8, 10], residual, rates=[0.1, 0.1, 0.05, 0.05])
    branches = [conv(8, 3, name="stem", stride=2), {"relu": {"name": "in"}},
                conv(4, 1, name="a"), {"relu": {"name": "a_out"}},
                conv(3, 1, name="b1", **{"from": "in"}), "tanh",
                conv(6, 3, name="b2", padding=1), {"relu": {"name": "b_out"}},
                conv(2, 1, name="c1", **{"from": "in"}), "sigmoid",
                conv(3, 5, name="c2", padding=2), {"relu": {"name": "c_out"}},
                {"maxpool": {"kernel_size": 3, "stride": 1, "padding": 1, "from": "in"}},
                conv(5, 1, name="d"), {"relu": {"name": "d_out"}},
                {"concat": {"name": "joined", "from": ["a_out", "b_out", "c_out", "d_out"]}}, lrn,
                {"avgpool": {"kernel_size": 3, "stride": 2, "rounding": "ceil", "count_include_pad": False}},
                {"adaptive_avgpool": {"output": 2}}, linear(6, name="fc")]
    yield case("inception", [3, 15, 17], branches)
    adam = {"adamw": {"weight_decay": 0.01}}
    yield case("residual_adamw", [3, 8, 10], residual, optimizer=adam, rates=[0.01, 0.01, 0.005, 0.005],
               loss={"cross_entropy": {"label_smoothing": 0.1}})


def cases():
    """All of them."""
    for group in (convolutions, dense, elementwise, normalisations, pools, joins, losses, optimizers, networks):
        yield from group()
