//! The sections and what may be written in them, and what every layer and every use of a block may have.

use super::{Bounds, Form, Lengths, Setting, With, Word};
use crate::check::LARGEST_BATCH;
use crate::check::reader::LARGEST;

const WHOLE: Form = Form::Whole(1, LARGEST);
const COUNT_FROM_0: Form = Form::Whole(0, LARGEST);
const NUMBER: Form = Form::Number(Bounds::Finite);
const POSITIVE: Form = Form::Number(Bounds::Positive);
const NOT_NEGATIVE: Form = Form::Number(Bounds::NotNegative);
const BELOW_ONE: Form = Form::Number(Bounds::BelowOne);
const SOME: Lengths = Lengths { least: 1, most: None };

/// The sections of a spec.
pub const SECTIONS: &[Setting] = &[
    Setting::required("net", Form::Text, "The network's name: letters, digits, `_` and `-`"),
    Setting::open(
        "include",
        Form::Either(&[Form::Text, Form::List(&Form::Text, SOME)]),
        "nothing is included",
        "Files that say what the spec leaves out, relative to its folder",
    ),
    Setting::required("input", Form::Settings(INPUT), "What the network reads, without the batch"),
    Setting::open(
        "classes",
        Form::List(&Form::Either(&[Form::Text, COUNT_FROM_0, Form::Flag]), SOME),
        "classes have numbers only",
        "The names of the classes in the order of their labels",
    ),
    Setting::open("init", Form::Settings(INIT), "PyTorch's", "First contents of parameters by kind of layer"),
    Setting::open(
        "params",
        Form::Named(&Form::Any),
        "none",
        "Parameters by name: values that others are computed from, and that `--set params.NAME=VALUE` changes",
    ),
    Setting::open(
        "blocks",
        Form::Named(&Form::Settings(BLOCK_SETTINGS)),
        "none",
        "Blocks by name: layers that stand wherever the name is used as a kind of layer",
    ),
    Setting::required("layers", Form::Layers, "The layers in order; each reads the one before it unless `from` says"),
    Setting::open("train", Form::Settings(TRAIN), "the network cannot be trained", "How the network is trained"),
    Setting::open(
        "preprocess",
        Form::Settings(PREPROCESS),
        "pixels are divided by 255",
        "What happens to an image before the network sees it",
    ),
    Setting::open(
        "allow",
        Form::Either(&[Form::Text, Form::List(&Form::Text, SOME)]),
        "every warning is given",
        "Warnings, by their codes, that the spec keeps silent",
    ),
    Setting::open(
        "vary",
        Form::Named(&Form::List(&Form::Any, SOME)),
        "no variants",
        "Variants: values by path, as `conv1.stride: [2, 4]`, and `lrn: [on, off]` to leave layers out",
    ),
];

/// What every layer may have besides its own settings.
pub const LAYER_SETTINGS: &[Setting] = &[
    Setting::open("name", Form::Text, "the kind and a running number", "The layer's name: letters, digits and `_`"),
    Setting::open("from", FROM, "the layer before", "The layer that it reads, or a list of them"),
];

/// What the use of a block may have besides the block's parameters.
pub const USE_SETTINGS: &[Setting] = &[
    Setting::open(
        "name",
        Form::Text,
        "the block's name and a running number",
        "The name before those of its layers, as in `stage1.conv1`",
    ),
    Setting::open("from", Form::Layer, "the layer before", "The layer that the block reads: `input` within it"),
    Setting::optional("repeat", WHOLE, "1", "How many times its layers stand there, one after the other"),
];

/// What a block has.
pub const BLOCK_SETTINGS: &[Setting] = &[
    Setting::open(
        "params",
        Form::Named(&Form::Any),
        "none",
        "The block's parameters with their defaults; `null`: it must be given where the block is used",
    ),
    Setting::required("layers", Form::Layers, "The block's layers; `input` is what its use reads"),
];

const FROM: Form = Form::Either(&[Form::Layer, Form::List(&Form::Layer, SOME)]);

const INPUT: &[Setting] = &[
    Setting::optional("name", Form::Text, "input", "What layers call it in `from`"),
    Setting::required(
        "shape",
        Form::Either(&[
            Form::List(&WHOLE, Lengths { least: 3, most: Some(3) }),
            Form::List(&WHOLE, Lengths { least: 1, most: Some(1) }),
        ]),
        "An image `[channels, height, width]` or a vector `[features]`, without the batch",
    ),
];

const INIT: &[Setting] = &[
    Setting::open("conv", Form::Settings(RULES), "uniform in ±1/√fan_in", "First contents of convolutions"),
    Setting::open("linear", Form::Settings(RULES), "uniform in ±1/√fan_in", "First contents of linear layers"),
    Setting::open("batchnorm", Form::Settings(VECTOR_RULES), "1 and 0", "First contents of scales and shifts"),
];

/// What layers with a weight may say of their parameters.
pub const PARAM_SETTINGS: &[Setting] = &[
    Setting::open("init", Form::Settings(RULES), "the rule of the section `init`", "First contents of its parameters"),
    LR_MULT,
    DECAY_MULT,
];

/// As [`PARAM_SETTINGS`], for layers all of whose parameters are vectors.
pub const VECTOR_PARAM_SETTINGS: &[Setting] = &[
    Setting::open(
        "init",
        Form::Settings(VECTOR_RULES),
        "the rule of the section `init`",
        "First contents of scale and shift",
    ),
    LR_MULT,
    DECAY_MULT,
];

const LR_MULT: Setting =
    Setting::optional("lr_mult", MULTIPLIER, "1", "Multiplies the learning rate of its parameters; 0 freezes them");
const DECAY_MULT: Setting =
    Setting::optional("decay_mult", MULTIPLIER, "1", "Multiplies the weight decay of its parameters");

const MULTIPLIER: Form = Form::Either(&[
    NOT_NEGATIVE,
    Form::Settings(&[
        Setting::optional("weight", NOT_NEGATIVE, "1", "For the weight"),
        Setting::optional("bias", NOT_NEGATIVE, "1", "For the bias"),
    ]),
]);

const RULES: &[Setting] = &[
    Setting::open("weight", Form::Either(&[NUMBER, Form::Choice(RULE)]), "the usual", "First contents of the weight"),
    Setting::open("bias", VECTOR_RULE_FORM, "the usual", "First contents of the bias"),
];

const VECTOR_RULES: &[Setting] = &[
    Setting::open("weight", VECTOR_RULE_FORM, "1", "First contents of the scale"),
    Setting::open("bias", VECTOR_RULE_FORM, "0", "First contents of the shift"),
];

const VECTOR_RULE_FORM: Form = Form::Either(&[NUMBER, Form::Choice(VECTOR_RULE)]);

const ZEROS: Word = Word::plain("zeros", "All 0");
const CONSTANT: Word = Word { text: "constant", about: "All this number", with: With::Value(&NUMBER) };
const NORMAL: Word = Word::with(
    "normal",
    "Normally distributed",
    &[Setting::optional("mean", NUMBER, "0", "Mean"), Setting::required("std", NOT_NEGATIVE, "Standard deviation")],
);
const UNIFORM: Word = Word::with(
    "uniform",
    "Evenly distributed",
    &[Setting::required("low", NUMBER, "Lower end"), Setting::required("high", NUMBER, "Upper end, excluded")],
);

/// Rules for a vector, which has no fan-in.
const VECTOR_RULE: &[Word] = &[ZEROS, CONSTANT, NORMAL, UNIFORM];

const RULE: &[Word] = &[
    ZEROS,
    CONSTANT,
    NORMAL,
    UNIFORM,
    Word::with("xavier_uniform", "Evenly distributed with variance 2·gain²/(fan_in + fan_out)", GAIN),
    Word::with("xavier_normal", "Normally distributed with variance 2·gain²/(fan_in + fan_out)", GAIN),
    Word::with("kaiming_uniform", "Evenly distributed with variance gain²/fan, the gain that of the nonlinearity", FAN),
    Word::with(
        "kaiming_normal",
        "Normally distributed with variance gain²/fan, the gain that of the nonlinearity",
        FAN,
    ),
];

const GAIN: &[Setting] = &[Setting::optional("gain", POSITIVE, "1", "Multiplies the standard deviation")];

const FAN: &[Setting] = &[
    Setting::optional(
        "mode",
        Form::Words(&[
            Word::plain("fan_in", "Signals keep their size forwards"),
            Word::plain("fan_out", "Gradients keep their size backwards"),
        ]),
        "fan_in",
        "Which fan the variance is divided by",
    ),
    Setting::optional(
        "nonlinearity",
        Form::Words(&[
            Word::plain("relu", "Gain √2"),
            Word::plain("leaky_relu", "Gain √(2/(1 + a²))"),
            Word::plain("tanh", "Gain 5/3"),
            Word::plain("sigmoid", "Gain 1"),
            Word::plain("linear", "Gain 1"),
        ]),
        "relu",
        "What follows the layer",
    ),
    Setting::optional("a", NUMBER, "0", "The slope of `leaky_relu` below 0"),
];

const TRAIN: &[Setting] = &[
    Setting::required(
        "loss",
        Form::Choice(&[
            Word::with(
                "cross_entropy",
                "Softmax and negative log likelihood of the label, as the mean over the batch",
                &[Setting::optional("label_smoothing", BELOW_ONE, "0", "Share of the target spread over all classes")],
            ),
            Word::plain("mse", "Mean of the squared differences"),
        ]),
        "What training makes small",
    ),
    Setting::required("optimizer", Form::Choice(OPTIMIZER), "How parameters follow the gradient"),
    Setting::optional("schedule", Form::Choice(SCHEDULE), "constant", "How the learning rate changes"),
    Setting::optional("warmup", COUNT_FROM_0, "0", "Steps in which the learning rate grows evenly from 0"),
    Setting::required("batch", Form::Whole(1, LARGEST_BATCH), "Images a step"),
    Setting::required("epochs", WHOLE, "Passes over the data"),
    Setting::optional("shuffle", Form::Flag, "true", "Whether each epoch has a new order"),
];

const LR: Setting = Setting::required("lr", POSITIVE, "Learning rate");

const OPTIMIZER: &[Word] = &[
    Word::with(
        "sgd",
        "Stochastic gradient descent",
        &[
            LR,
            Setting::optional("momentum", BELOW_ONE, "0", "Share of the velocity that is kept"),
            Setting::optional("weight_decay", NOT_NEGATIVE, "0", "Times the parameter, added to its gradient"),
            Setting::optional("nesterov", Form::Flag, "false", "Whether to look ahead"),
            Setting::optional(
                "form",
                Form::Words(&[
                    Word::plain("torch", "v = μ·v + g, w −= lr·v"),
                    Word::plain("caffe", "v = μ·v + lr·g, w −= v: the paper's of 2012 too"),
                ]),
                "torch",
                "Whether the learning rate is in the velocity",
            ),
        ],
    ),
    Word::with("adam", "Adam; weight decay is added to the gradient", ADAM),
    Word::with("adamw", "Adam with weight decay apart from the gradient", ADAMW),
];

const BETA1: Setting = Setting::optional("beta1", BELOW_ONE, "0.9", "Share of the mean gradient that is kept");
const BETA2: Setting = Setting::optional("beta2", BELOW_ONE, "0.999", "Share of the mean square that is kept");
const ADAM_EPSILON: Setting = Setting::optional("epsilon", POSITIVE, "1.0e-8", "Added to the root of the mean square");
const DECAY: &str = "Weight decay";
const ADAM: &[Setting] = &[LR, BETA1, BETA2, ADAM_EPSILON, Setting::optional("weight_decay", NOT_NEGATIVE, "0", DECAY)];
const ADAMW: &[Setting] =
    &[LR, BETA1, BETA2, ADAM_EPSILON, Setting::optional("weight_decay", NOT_NEGATIVE, "0.01", DECAY)];

const GAMMA: Setting = Setting::optional("gamma", POSITIVE, "0.1", "Factor of the learning rate");

const SCHEDULE: &[Word] = &[
    Word::plain("constant", "It stays"),
    Word::with(
        "step",
        "It is multiplied by `gamma` every so many epochs",
        &[Setting::required("every", WHOLE, "Epochs between two steps"), GAMMA],
    ),
    Word::with(
        "milestones",
        "It is multiplied by `gamma` at the given epochs",
        &[
            Setting::required("epochs", Form::List(&WHOLE, Lengths { least: 0, most: None }), "The epochs, ascending"),
            GAMMA,
        ],
    ),
    Word::with(
        "cosine",
        "It falls along half a cosine to `minimum`",
        &[Setting::optional("minimum", NOT_NEGATIVE, "0", "Where it ends")],
    ),
    Word::with(
        "plateau",
        "It is multiplied by `gamma` when the held-out error stops falling",
        &[
            GAMMA,
            Setting::required("patience", WHOLE, "Epochs without progress before a step"),
            Setting::required("times", WHOLE, "Steps at most"),
        ],
    ),
];

const NO_RESIZE: Word = Word::plain("none", "Images keep their size");

const PREPROCESS: &[Setting] = &[
    Setting::optional(
        "resize",
        Form::Either(&[WHOLE, Form::List(&WHOLE, Lengths { least: 2, most: Some(2) }), Form::Words(&[NO_RESIZE])]),
        "none",
        "The shorter side, or `[height, width]`, that images are scaled to",
    ),
    Setting::optional(
        "crop",
        Form::Choice(&[
            Word::plain("none", "Images must have the input's size"),
            Word::plain("center", "The middle"),
            Word::with(
                "random",
                "A random part in training, the middle otherwise",
                &[Setting::optional("padding", COUNT_FROM_0, "0", "Black pixels put around the image before")],
            ),
        ]),
        "none",
        "Which part of the image is taken",
    ),
    Setting::optional("flip", Form::Number(Bounds::Unit), "0", "Probability of mirroring an image in training"),
    Setting::optional(
        "range",
        Form::Whole(1, 255),
        "1",
        "The pixel values' range before mean and std: 1, which divides by 255, or 255, which keeps them",
    ),
    Setting::optional(
        "mean",
        Form::Either(&[NUMBER, Form::List(&NUMBER, SOME)]),
        "0",
        "Subtracted from each channel: one number, or one a channel",
    ),
    Setting::optional(
        "std",
        Form::Either(&[POSITIVE, Form::List(&POSITIVE, SOME)]),
        "1",
        "Divides each channel after that: one number, or one a channel",
    ),
    Setting::optional(
        "channels",
        Form::Words(&[Word::plain("rgb", "Red, green, blue"), Word::plain("bgr", "Blue, green, red, as Caffe")]),
        "rgb",
        "The order of the channels",
    ),
];
