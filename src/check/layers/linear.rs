//! `linear`: fully connected.

use super::{BIAS, Definition, Inputs, Operand, Resolved, elements, flatten};
use crate::check::LayerKind;
use crate::check::init::{self, Defaults};
use crate::check::reader::{LARGEST, Reader};
use crate::check::vocabulary::{Form, PARAM_SETTINGS, Setting};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "linear",
    synonyms: &["fc", "dense", "fully_connected", "inner_product", "innerproduct", "gemm", "affine", "fullyconnected"],
    inputs: Inputs::One,
    about: "Fully connected layer: each output is a weighted sum of all inputs; an image is flattened first",
    settings: SETTINGS,
    resolve,
};

const SETTINGS: &[Setting] = &[
    Setting::required("features", Form::Whole(1, LARGEST), "Outputs"),
    BIAS,
    PARAM_SETTINGS[0],
    PARAM_SETTINGS[1],
    PARAM_SETTINGS[2],
];

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, defaults: &Defaults) -> Option<Resolved> {
    reader.at_most = None;
    let features = reader.count("features");
    let bias = reader.flag_or("bias", true);
    let settings = init::settings(reader, "linear", defaults);
    let operand = operands?.first()?;
    let (features, bias, settings) = (features?, bias?, settings?);
    let inputs = elements(reader, "the input", &operand.shape)?;
    let weight = vec![features, inputs];
    let macs = elements(reader, "the weight", &weight)? as u64;
    let params = init::params(reader, &settings, weight, bias.then_some(features))?;
    Some(Resolved {
        kind: LayerKind::Linear { features, bias },
        shape: vec![features],
        derivations: flatten::derivation("inputs", &operand.shape),
        params,
        macs,
    })
}
