//! `netc dump`: any stage of the compiler as text.

use super::arguments::{Dump, Format, Stage};
use super::compile::options;
use super::output::Output;
use crate::codegen::Listing;
use crate::driver::{self, Failure};
use crate::{check, kernel, plan, spec};

/// Prints the stage asked for.
pub fn dump(arguments: &Dump, output: &mut Output) -> Result<(), Failure> {
    let text = driver::read(&arguments.spec.path, &arguments.spec.sets)?;
    if arguments.stage == Stage::Spec {
        let printed = spec::print(&text.spec);
        // A spec that is wrong is shown all the same, and then refused.
        write(arguments, output, &printed)?;
        return driver::check(text).map(drop);
    }
    let network = driver::check(text)?.network;
    if arguments.stage == Stage::Network {
        return write(arguments, output, &check::print(&network));
    }
    let options = options(&network, arguments.mode, arguments.batch, &arguments.target)?;
    let wanted = |name: &str| arguments.function.as_deref().is_none_or(|function| function == name);
    let known = ["init", "preprocess", "infer", "train"];
    if let Some(function) = arguments.function.as_deref().filter(|f| !known.contains(f)) {
        return Err(Failure::Usage(format!("no function `{function}`: there are {}", known.join(", "))));
    }
    if arguments.stage == Stage::Graph {
        let graphs = driver::functions_after(&network, options.batch, options.train, arguments.after.as_deref())?;
        let texts: Vec<String> = graphs.iter().filter(|g| wanted(&g.name)).map(ToString::to_string).collect();
        return write(arguments, output, &texts.join("\n"));
    }
    let built = driver::build(&network, &options)?;
    let printed = match arguments.stage {
        Stage::Plan => {
            let plans = built.plans.iter().filter(|p| wanted(&p.function));
            plans.map(plan::text::print).collect::<Vec<_>>().join("\n")
        }
        Stage::Kernels => {
            let chosen = built.plans.iter().zip(&built.kernels).filter(|(p, _)| wanted(&p.function));
            let kernels = chosen.flat_map(|(_, kernels)| kernels);
            kernels.map(kernel::text::print).collect::<Vec<_>>().join("\n")
        }
        Stage::Llvm => built.listing(&network, &options, Listing::Llvm),
        Stage::Asm => built.listing(&network, &options, Listing::Assembly),
        Stage::Spec | Stage::Network | Stage::Graph => String::new(),
    };
    write(arguments, output, &printed)
}

fn write(arguments: &Dump, output: &mut Output, text: &str) -> Result<(), Failure> {
    match arguments.spec.format {
        Format::Text => output.write(text),
        Format::Json => output.json(&serde_json::json!({ "text": text })),
    }
}
