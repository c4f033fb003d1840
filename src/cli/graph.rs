//! `netc graph`: a network as a picture.

use super::arguments::{Format, Spec};
use super::output::Output;
use crate::driver::{self, Failure};
use crate::picture;
use std::path::{Path, PathBuf};

/// `netc graph`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Boxes have the layer's name, its shape, settings and parameters; activations, normalisation and \
                        dropout stand in the box of the layer that they follow."
)]
pub struct Graph {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// SVG file to write; - writes standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

/// Draws the network.
pub fn graph(arguments: &Graph, output: &mut Output) -> Result<(), Failure> {
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let svg = picture::svg(&picture::draw(&checked.network));
    if arguments.output != Path::new("-") {
        driver::write_text(&arguments.output, &svg)?;
        if arguments.spec.format == Format::Json {
            output.json(&serde_json::json!({ "file": arguments.output.display().to_string() }))?;
        }
    } else if arguments.spec.format == Format::Json {
        output.json(&serde_json::json!({ "svg": svg }))?;
    } else {
        output.write(&svg)?;
    }
    Ok(())
}
