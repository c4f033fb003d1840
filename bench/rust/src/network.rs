//! A network as `onnx_file.py` describes it, for peers that have tensors but no reader of networks: nodes with ONNX's
//! names and settings, and the tensors of the weights file.

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// What a node does.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op")]
pub enum Op {
    /// Pads are those before height and width, and then those after.
    Conv {
        strides: [usize; 2],
        pads: [usize; 4],
        group: usize,
    },
    /// Padded with what is less than all.
    MaxPool {
        kernel_shape: [usize; 2],
        strides: [usize; 2],
        pads: [usize; 4],
        ceil_mode: usize,
    },
    /// Of transposed weights: `x · Wᵀ + b`.
    Gemm,
    BatchNormalization {
        epsilon: f32,
    },
    Relu,
    GlobalAveragePool,
    Flatten,
    #[serde(rename = "LRN")]
    ResponseNorm {
        size: usize,
        alpha: f64,
        beta: f64,
        bias: f64,
    },
    Reshape {
        shape: Vec<usize>,
    },
    Concat,
    Add,
}

#[derive(Deserialize)]
struct Node {
    #[serde(flatten)]
    op: Op,
    inputs: Vec<String>,
    output: String,
}

/// A tensor of the weights file.
#[derive(Debug, Clone)]
pub struct Weights {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Tensors and what is done with them.
pub trait Backend {
    type Tensor: Clone;

    fn tensor(&self, weights: &Weights) -> Result<Self::Tensor>;

    /// `weights` are the node's own: of a convolution and a linear layer weights and bias.
    fn apply(&self, op: &Op, weights: &[Self::Tensor], inputs: Vec<Self::Tensor>) -> Result<Self::Tensor>;
}

/// A node whose values have numbers; `inputs` say whether they are read for the last time.
struct Step<T> {
    op: Op,
    weights: Vec<T>,
    inputs: Vec<(usize, bool)>,
}

/// A network on a backend. Step `n` makes value `n + 1`; value 0 is the images.
pub struct Network<B: Backend> {
    backend: B,
    steps: Vec<Step<B::Tensor>>,
}

impl<B: Backend> Network<B> {
    /// Reads `network.json` and `weights.safetensors`.
    pub fn read(folder: &Path, backend: B) -> Result<Network<B>> {
        let nodes: Vec<Node> = serde_json::from_slice(&std::fs::read(folder.join("network.json"))?)?;
        let bytes = std::fs::read(folder.join("weights.safetensors"))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let mut values = HashMap::from([("image".to_owned(), 0)]);
        let mut parts: Vec<(Op, Vec<Weights>, Vec<usize>)> = Vec::new();
        for Node { op, inputs, output } in nodes {
            let (own, read): (Vec<_>, Vec<_>) = inputs.iter().partition(|name| !values.contains_key(*name));
            let own = own.into_iter().map(|name| weights(&tensors, name)).collect::<Result<Vec<_>>>()?;
            let read: Vec<usize> = read.into_iter().map(|name| values[name]).collect();
            if let Op::BatchNormalization { epsilon } = op {
                let (before, last) = (read[0], parts.len());
                match parts.last_mut() {
                    Some((Op::Conv { .. }, weights, _)) if before == last => fold(weights, &own, epsilon)?,
                    _ => bail!("{output} normalises what no convolution has just made"),
                }
                values.insert(output, before);
                continue;
            }
            parts.push((op, own, read));
            values.insert(output, parts.len());
        }
        let mut seen = vec![false; parts.len() + 1];
        let mut steps = Vec::with_capacity(parts.len());
        for (op, weights, read) in parts.into_iter().rev() {
            let weights = weights.iter().map(|weights| backend.tensor(weights)).collect::<Result<Vec<_>>>()?;
            // Of a value that a node reads twice, only the last is the last.
            let mut inputs: Vec<_> =
                read.into_iter().rev().map(|value| (value, !std::mem::replace(&mut seen[value], true))).collect();
            inputs.reverse();
            steps.push(Step { op, weights, inputs });
        }
        steps.reverse();
        Ok(Network { backend, steps })
    }

    /// The network's result for `images`. A value is given away where it is read for the last time, so that a backend may
    /// work in place.
    pub fn run(&self, images: &B::Tensor) -> Result<B::Tensor> {
        let mut values = vec![Some(images.clone())];
        for step in &self.steps {
            let take = |&(value, last): &(usize, bool)| {
                let value: &mut Option<B::Tensor> = &mut values[value];
                if last { value.take() } else { value.clone() }.context("a value is read that is gone")
            };
            let inputs = step.inputs.iter().map(take).collect::<Result<Vec<_>>>()?;
            let made = self.backend.apply(&step.op, &step.weights, inputs)?;
            values.push(Some(made));
        }
        values.pop().flatten().context("a network of no nodes")
    }
}

fn weights(tensors: &SafeTensors, name: &str) -> Result<Weights> {
    let tensor = tensors.tensor(name)?;
    ensure!(tensor.dtype() == Dtype::F32, "{name} is {:?}", tensor.dtype());
    Ok(Weights { shape: tensor.shape().to_vec(), values: floats(tensor.data()) })
}

/// Little-endian bytes as numbers.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Has a convolution do the normalisation that follows it, as nothing is trained.
fn fold(conv: &mut Vec<Weights>, norm: &[Weights], epsilon: f32) -> Result<()> {
    let [scale, shift, mean, variance] = norm else { bail!("a normalisation has {} tensors", norm.len()) };
    let channels = scale.values.len();
    ensure!(conv[0].shape[0] == channels, "{channels} channels are normalised, not {}", conv[0].shape[0]);
    if conv.len() == 1 {
        conv.push(Weights { shape: vec![channels], values: vec![0.0; channels] });
    }
    let each = conv[0].values.len() / channels;
    for channel in 0..channels {
        let factor = scale.values[channel] / (variance.values[channel] + epsilon).sqrt();
        for weight in &mut conv[0].values[channel * each..][..each] {
            *weight *= factor;
        }
        let bias = &mut conv[1].values[channel];
        *bias = (*bias - mean.values[channel]) * factor + shift.values[channel];
    }
    Ok(())
}

/// Zeros or repetitions that a maximum needs after an axis so that its last window is whole, beside its own padding.
pub fn rest(size: usize, kernel: usize, stride: usize, pads: [usize; 2], ceil: bool) -> usize {
    let room = size + pads[0] + pads[1] - kernel;
    // A window that would begin in the padding after the image is left out, as in PyTorch.
    if ceil && room % stride != 0 && (room / stride + 1) * stride < size + pads[0] { stride - room % stride } else { 0 }
}
