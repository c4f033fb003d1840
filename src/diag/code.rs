//! The list of everything that can be wrong.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What sort of thing a diagnostic reports.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The name users see, as `inexact-size`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)+
                }
            }

            /// What there is to know about it, in Markdown.
            pub(super) fn markdown(self) -> &'static str {
                match self {
                    $(Code::$variant => include_str!(concat!("pages/", $name, ".md")),)+
                }
            }
        }
    };
}

codes! {
    /// The spec file cannot be read.
    UnreadableFile = "unreadable-file",
    /// The spec file is not UTF-8 text. A file in UTF-16 or Latin-1 must be converted; a binary file is not a spec.
    NotUtf8 = "not-utf8",
    /// The spec file has nothing in it.
    EmptySpec = "empty-spec",
    /// The file is not YAML, or uses a part of YAML that specs do not have: several documents, tags, keys that are no
    /// words.
    InvalidYaml = "invalid-yaml",
    /// A statement that is not written as the netc language wants it: an open bracket, a missing value, a stray sign.
    InvalidSyntax = "invalid-syntax",
    /// The file is too long, nested too deeply, or its aliases unfold to too much.
    TooMuch = "too-much",
    /// A file that `include` names cannot be read, or includes itself. Names are relative to the file that includes.
    FailedInclude = "failed-include",
    /// A `--set` argument is not `layer.field=value` or `section.field=value`, or names nothing that exists.
    InvalidSet = "invalid-set",
    /// An axis of `vary` that is not `layer.field: [values]`, `section.field: [values]` or `layer: [on, off]`, that names
    /// nothing that exists, or one axis too many.
    InvalidVary = "invalid-vary",
    /// A key that this part of a spec does not have. Every key must be known, so that a misspelt one cannot be ignored.
    UnknownKey = "unknown-key",
    /// A key that appears twice in one place.
    DuplicateKey = "duplicate-key",
    /// A key that must be there and is not.
    MissingKey = "missing-key",
    /// A value of the wrong type, as text where a number must be.
    WrongType = "wrong-type",
    /// A number outside the range that makes sense.
    OutOfRange = "out-of-range",
    /// A word that is not one of those possible here.
    UnknownWord = "unknown-word",
    /// An expression names a parameter that `params` does not define.
    UnknownParameter = "unknown-parameter",
    /// An expression that has no value, as one that divides by 0.
    BadExpression = "bad-expression",
    /// A setting that has no effect because another one turns it off, or a parameter that nothing uses.
    UnusedSetting = "unused-setting",
    /// A kind of layer that does not exist.
    UnknownLayer = "unknown-layer",
    /// Names of layers and nets are words of letters, digits and `_`; a dot may join words. Names of sections are
    /// taken; an input cannot have the name of another port of the program, as `labels` or `output`.
    InvalidName = "invalid-name",
    /// Two layers with one name.
    DuplicateName = "duplicate-name",
    /// `from` names a layer that does not exist.
    UnknownFrom = "unknown-from",
    /// Layers that read each other's results in a circle.
    Cycle = "cycle",
    /// A layer with too many or too few inputs.
    InputCount = "input-count",
    /// A layer whose result nobody reads and that is not the last one, whose result is the network's.
    UnreadLayer = "unread-layer",
    /// A layer that needs an image (channels, height, width) reads a vector, or the other way round.
    WrongRank = "wrong-rank",
    /// Inputs that must have equal sizes have not.
    ShapeMismatch = "shape-mismatch",
    /// Groups must divide the channels going in and coming out.
    GroupMismatch = "group-mismatch",
    /// The window is larger than the padded image.
    WindowTooLarge = "window-too-large",
    /// Padding of a pooling layer as large as its window: some windows would see no image at all.
    PaddingTooLarge = "padding-too-large",
    /// The windows do not tile the padded image: the size rule gives no whole number. Say `rounding: floor` or
    /// `rounding: ceil`, or change a size.
    InexactSize = "inexact-size",
    /// Some pixels of the image are never read because the windows end before them.
    UnreadPixels = "unread-pixels",
    /// Some of the padding is never read because the windows end before it: the image is not where the padding seems to put
    /// it. PyTorch's `padding=2` in AlexNet's first convolution is such a case.
    UnreadPadding = "unread-padding",
    /// A window that is larger than the map it slides over: most of what it sees is padding.
    WindowLargerThanMap = "window-larger-than-map",
    /// A bias whose only reader is a batch normalisation, which subtracts it again.
    BiasBeforeBatchnorm = "bias-before-batchnorm",
    /// Dropout before a batch normalisation: in training the variance that is kept for later is that of thinned values,
    /// which inference does not see (X. Li et al., "Understanding the Disharmony between Dropout and Batch Normalization by
    /// Variance Shift", 2018).
    DropoutBeforeBatchnorm = "dropout-before-batchnorm",
    /// Response normalisation before the ReLU that follows it, as in the program of 2012; the paper, Caffe and others
    /// normalise what the ReLU gives.
    LrnBeforeRelu = "lrn-before-relu",
    /// A ReLU of what a ReLU gives changes nothing.
    RepeatedRelu = "repeated-relu",
    /// Batch normalisation of one number a channel: with a batch of one image its variance is 0 and so is its result.
    BatchnormOfOne = "batchnorm-of-one",
    /// Small weights with biases of 1 at a high rate: AlexNet's first values can leave the loss at ln(classes) for good
    /// where training does not begin gently.
    StallingInit = "stalling-init",
    /// A learning rate, a momentum or a weight decay far from what its optimizer is used with.
    UnusualRate = "unusual-rate",
    /// A size beyond what netc can address, of one tensor or of a whole network.
    SizeLimit = "size-limit",
    /// An initialiser that does not fit the parameter, as one that needs fan-in on a bias.
    InitMismatch = "init-mismatch",
    /// The loss does not fit the network's result.
    LossMismatch = "loss-mismatch",
    /// The number of class names is not the size of the network's result.
    ClassCount = "class-count",
    /// `mean` and `std` need one number a channel.
    ChannelCount = "channel-count",
    /// Resize and crop cannot give the network's input size.
    PreprocessSize = "preprocess-size",
}

impl Code {
    /// Whether it is a warning, which the section `allow` can keep silent.
    pub fn is_lint(self) -> bool {
        matches!(
            self,
            Code::UnusedSetting
                | Code::UnreadPixels
                | Code::UnreadPadding
                | Code::WindowLargerThanMap
                | Code::BiasBeforeBatchnorm
                | Code::DropoutBeforeBatchnorm
                | Code::LrnBeforeRelu
                | Code::RepeatedRelu
                | Code::BatchnormOfOne
                | Code::StallingInit
                | Code::UnusualRate
        )
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
