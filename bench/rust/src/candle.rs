//! candle: the network in its tensors, with the matrix products that it brings along.

use crate::Peer;
use crate::network::{Backend, Network, Op, Weights, rest};
use anyhow::{Context, Result, bail};
use candle_core::{D, Device, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Linear, Module};
use std::path::Path;

struct Candle;

impl Backend for Candle {
    type Tensor = Tensor;

    fn tensor(&self, weights: &Weights) -> Result<Tensor> {
        Ok(Tensor::from_slice(&weights.values, weights.shape.as_slice(), &Device::Cpu)?)
    }

    fn apply(&self, op: &Op, weights: &[Tensor], inputs: Vec<Tensor>) -> Result<Tensor> {
        let x = inputs.first().context("a node that reads nothing")?;
        Ok(match op {
            Op::Conv { strides, pads, group } => {
                let [top, left, bottom, right] = *pads;
                let (x, padding) = if pads.iter().all(|pad| *pad == top) {
                    (x.clone(), top)
                } else {
                    (x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?, 0)
                };
                let config = Conv2dConfig { padding, stride: square(*strides)?, groups: *group, ..Default::default() };
                Conv2d::new(weights[0].clone(), weights.get(1).cloned(), config).forward(&x)?
            }
            Op::MaxPool { kernel_shape, strides, pads, ceil_mode } => {
                let mut x = x.clone();
                for axis in 0..2 {
                    let size = x.dim(2 + axis)?;
                    let (before, after) = (pads[axis], pads[2 + axis]);
                    let rest = rest(size, kernel_shape[axis], strides[axis], [before, after], *ceil_mode != 0);
                    // Every window that sees the border repeated sees the border too.
                    x = x.pad_with_same(2 + axis, before, after + rest)?;
                }
                x.max_pool2d_with_stride((kernel_shape[0], kernel_shape[1]), (strides[0], strides[1]))?
            }
            Op::Gemm => Linear::new(weights[0].clone(), weights.get(1).cloned()).forward(x)?,
            Op::Relu => x.relu()?,
            Op::GlobalAveragePool => x.mean_keepdim((2, 3))?,
            Op::Flatten => x.flatten_from(1)?,
            Op::ResponseNorm { size, alpha, beta, bias } => {
                let channels = x.dim(1)?;
                let padded = x.sqr()?.pad_with_zeros(1, (size - 1) / 2, size / 2)?;
                let mut sum = padded.narrow(1, 0, channels)?;
                for first in 1..*size {
                    sum = (sum + padded.narrow(1, first, channels)?)?;
                }
                let base = sum.affine(alpha / *size as f64, *bias)?;
                // Roots are quicker than powers.
                let power = if *beta == 0.75 {
                    let root = base.sqrt()?;
                    (&root * root.sqrt()?)?
                } else {
                    base.powf(*beta)?
                };
                (x / power)?
            }
            Op::Reshape { shape } => x.reshape(shape.as_slice())?,
            Op::Concat => Tensor::cat(&inputs, 1)?,
            Op::Add => (x + &inputs[1])?,
            Op::BatchNormalization { .. } => bail!("a normalisation that is not folded"),
        })
    }
}

/// candle strides alike along both axes.
fn square([height, width]: [usize; 2]) -> Result<usize> {
    if height != width {
        bail!("strides of {height} and {width}");
    }
    Ok(height)
}

/// The peer.
pub struct Run {
    network: Network<Candle>,
    images: Tensor,
    result: Option<Tensor>,
}

impl Run {
    pub fn new(folder: &Path, images: &Weights) -> Result<Run> {
        Ok(Run { network: Network::read(folder, Candle)?, images: Candle.tensor(images)?, result: None })
    }
}

impl Peer for Run {
    fn settings(&self) -> String {
        "tensors".to_owned()
    }

    fn run(&mut self) -> Result<()> {
        // As candle asks for, so that its threads stay awake from one operation to the next.
        self.result = Some(Device::Cpu.with_context(|| self.network.run(&self.images))?);
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        let result = self.result.as_ref().context("nothing has run")?;
        Ok(result.flatten_to(D::Minus1)?.to_vec1()?)
    }
}
