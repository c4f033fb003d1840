//! tract: it reads the ONNX file, and optimises it for inference.

use crate::Peer;
use crate::network::Weights;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

/// The peer.
pub struct Run {
    model: Arc<TypedRunnableModel>,
    images: TValue,
    result: Option<TValue>,
}

impl Run {
    pub fn new(folder: &Path, images: &Weights, threads: usize) -> Result<Run> {
        if threads > 1 {
            set_default_executor(Executor::multithread(threads));
        }
        let model =
            tract_onnx::onnx().model_for_path(folder.join("network.onnx"))?.into_optimized()?.into_runnable()?;
        let images = Tensor::from_shape(&images.shape, &images.values)?.into_tvalue();
        Ok(Run { model, images, result: None })
    }
}

impl Peer for Run {
    fn settings(&self) -> String {
        "optimised".to_owned()
    }

    fn run(&mut self) -> Result<()> {
        self.result = self.model.run(tvec!(self.images.clone()))?.pop();
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        let result = self.result.as_ref().context("nothing has run")?;
        Ok(result.to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}
