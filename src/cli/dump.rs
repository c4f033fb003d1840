//! `netc dump`: any stage of the compiler as text.

use super::arguments::{Dump, Format, Stage};
use super::compile::options;
use super::output::Output;
use crate::codegen::Listing;
use crate::driver::{self, Failure};
use crate::{check, kernel, plan, spec};

/// Prints the stage asked for.
pub fn dump(arguments: &Dump, output: &mut Output) -> Result<(), Failure> {
    fits_stage(arguments)?;
    let text = driver::read(&arguments.spec.path, &arguments.spec.sets)?;
    if arguments.stage == Stage::Spec {
        let printed = spec::print(&text.spec);
        // A spec that is wrong is shown all the same, and then refused.
        write(arguments, output, &printed)?;
        return driver::check(text).map(drop);
    }
    let checked = driver::check(text)?;
    if arguments.stage == Stage::Network {
        return write(arguments, output, &check::print(&checked.network));
    }
    let options = options(&checked, arguments.mode, arguments.batch, &arguments.target, arguments.algorithm)?;
    let network = checked.network;
    let function = arguments.function.as_deref();
    let wanted = |name: &str| function.is_none_or(|function| function == name);
    if arguments.stage == Stage::Graph {
        let graphs = driver::functions_after(&network, options.batch, options.train, arguments.after.as_deref())?;
        let names: Vec<&str> = graphs.iter().map(|g| g.name.as_str()).collect();
        is_there(function, &names, arguments.after.as_deref())?;
        let texts: Vec<String> = graphs.iter().filter(|g| wanted(&g.name)).map(ToString::to_string).collect();
        return write(arguments, output, &texts.join("\n"));
    }
    let built = driver::build(&network, &options)?;
    let names: Vec<&str> = built.plans.iter().map(|p| p.function.as_str()).collect();
    is_there(function, &names, None)?;
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
        Stage::Llvm => built.listing(&network, &options, Listing::Llvm, function),
        Stage::Asm => built.listing(&network, &options, Listing::Assembly, function),
        Stage::Spec | Stage::Network | Stage::Graph => String::new(),
    };
    write(arguments, output, &printed)
}

/// Refuses options that say nothing about the stage.
fn fits_stage(arguments: &Dump) -> Result<(), Failure> {
    let stage = match arguments.stage {
        Stage::Spec => "spec",
        Stage::Network => "network",
        Stage::Graph => return Ok(()),
        Stage::Plan => "plan",
        Stage::Kernels => "kernels",
        Stage::Llvm => "llvm",
        Stage::Asm => "asm",
    };
    if arguments.after.is_some() {
        return Err(Failure::Usage(format!("--after goes with --stage graph, not {stage}: passes change graphs")));
    }
    if matches!(arguments.stage, Stage::Spec | Stage::Network) {
        let given = [
            ("--function", arguments.function.is_some()),
            ("--mode", arguments.mode.is_some()),
            ("--batch", arguments.batch.is_some()),
        ];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Failure::Usage(format!(
                "{option} says nothing about --stage {stage}: it has no functions yet"
            )));
        }
    }
    Ok(())
}

/// Refuses a function that is not among `names`, those of the program after the pass `after`.
fn is_there(function: Option<&str>, names: &[&str], after: Option<&str>) -> Result<(), Failure> {
    let Some(function) = function.filter(|function| !names.contains(function)) else { return Ok(()) };
    let after = after.map_or(String::new(), |pass| format!(" after {pass}"));
    let hint = if function == "train" { "; `train` takes --mode train" } else { "" };
    Err(Failure::Usage(format!("no function `{function}`{after}: there are {}{hint}", names.join(", "))))
}

fn write(arguments: &Dump, output: &mut Output, text: &str) -> Result<(), Failure> {
    match arguments.spec.format {
        Format::Text => output.write(text),
        Format::Json => output.json(&serde_json::json!({ "text": text })),
    }
}
