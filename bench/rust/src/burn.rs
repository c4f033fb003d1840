//! burn: the network in its tensors, on Flex, its backend in Rust.

use crate::Peer;
use crate::network::{Backend, Network, Op, Weights};
use anyhow::{Context, Result, bail};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d, linear, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData, activation};
use std::path::Path;

struct Burn {
    device: Device,
}

/// burn's tensors have their number of axes in their type.
#[derive(Clone)]
enum Value {
    One(Tensor<1>),
    Two(Tensor<2>),
    Four(Tensor<4>),
}

impl Value {
    fn one(self) -> Result<Tensor<1>> {
        if let Value::One(tensor) = self { Ok(tensor) } else { bail!("a tensor has other than one axis") }
    }

    fn two(self) -> Result<Tensor<2>> {
        if let Value::Two(tensor) = self { Ok(tensor) } else { bail!("a tensor has other than two axes") }
    }

    fn four(self) -> Result<Tensor<4>> {
        if let Value::Four(tensor) = self { Ok(tensor) } else { bail!("a tensor has other than four axes") }
    }
}

impl Backend for Burn {
    type Tensor = Value;

    fn tensor(&self, weights: &Weights) -> Result<Value> {
        let data = TensorData::new(weights.values.clone(), weights.shape.clone());
        Ok(match weights.shape.len() {
            1 => Value::One(Tensor::from_data(data, &self.device)),
            2 => Value::Two(Tensor::from_data(data, &self.device)),
            4 => Value::Four(Tensor::from_data(data, &self.device)),
            axes => bail!("a tensor has {axes} axes"),
        })
    }

    fn apply(&self, op: &Op, weights: &[Value], inputs: Vec<Value>) -> Result<Value> {
        let mut inputs = inputs.into_iter();
        let x = inputs.next().context("a node that reads nothing")?;
        let bias = || weights.get(1).cloned().map(Value::one).transpose();
        Ok(Value::Four(match op {
            Op::Conv { strides, pads, group } => {
                let [top, left, bottom, right] = *pads;
                let padding = [(top, bottom), (left, right)];
                let options = ConvOptions::new_with_padding(*strides, padding, [1, 1], *group);
                conv2d(x.four()?, weights[0].clone().four()?, bias()?, options)
            }
            Op::MaxPool { kernel_shape, strides, pads, ceil_mode } => {
                let [top, left, bottom, right] = *pads;
                let options = MaxPoolOptions::new(*kernel_shape).with_stride(*strides);
                let options = options.with_padding_pairs([(top, bottom), (left, right)]);
                max_pool2d(x.four()?, options.with_ceil_mode(*ceil_mode != 0))
            }
            Op::Gemm => {
                let weights = weights[0].clone().two()?.transpose();
                return Ok(Value::Two(linear(x.two()?, weights, bias()?)));
            }
            Op::Relu => match x {
                Value::Four(x) => activation::relu(x),
                x => return Ok(Value::Two(activation::relu(x.two()?))),
            },
            Op::GlobalAveragePool => adaptive_avg_pool2d(x.four()?, [1, 1]),
            Op::Flatten => return Ok(Value::Two(x.four()?.flatten(1, 3))),
            Op::ResponseNorm { size, alpha, beta, bias } => {
                let x = x.four()?;
                let channels = x.dims()[1];
                let around = [(0, 0), ((size - 1) / 2, size / 2), (0, 0), (0, 0)];
                let padded = x.clone().square().pad(around, PadMode::Constant(0.0));
                let mut sum = padded.clone().narrow(1, 0, channels);
                for first in 1..*size {
                    sum = sum + padded.clone().narrow(1, first, channels);
                }
                let base = sum * (alpha / *size as f64) + *bias;
                // Roots are quicker than powers.
                let power = if *beta == 0.75 {
                    let root = base.sqrt();
                    root.clone() * root.sqrt()
                } else {
                    base.powf_scalar(*beta)
                };
                x / power
            }
            Op::Reshape { shape } => x.four()?.reshape(<[usize; 4]>::try_from(shape.as_slice())?),
            Op::Concat => {
                let parts = std::iter::once(x).chain(inputs).map(Value::four).collect::<Result<Vec<_>>>()?;
                Tensor::cat(parts, 1)
            }
            Op::Add => x.four()? + inputs.next().context("a sum of one")?.four()?,
            Op::BatchNormalization { .. } => bail!("a normalisation that is not folded"),
        }))
    }
}

/// The peer.
pub struct Run {
    network: Network<Burn>,
    images: Value,
    result: Option<Value>,
}

impl Run {
    pub fn new(folder: &Path, images: &Weights) -> Result<Run> {
        let backend = || Burn { device: Device::flex() };
        let images = backend().tensor(images)?;
        Ok(Run { network: Network::read(folder, backend())?, images, result: None })
    }
}

impl Peer for Run {
    fn settings(&self) -> String {
        "Flex".to_owned()
    }

    fn run(&mut self) -> Result<()> {
        // On a thread of rayon's pool, which need not be woken for each operation.
        self.result = Some(rayon::scope(|_| self.network.run(&self.images))?);
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        let result = self.result.clone().context("nothing has run")?.two()?;
        Ok(result.into_data().try_to_vec()?)
    }
}
