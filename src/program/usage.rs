//! What the C header says of calling a program: all that a caller must know besides the declarations.

use crate::check::Preprocess;
use crate::codegen;
use netc_runtime::program::{CropInfo, Manifest, ResizeInfo};

/// Columns of a line.
const WIDTH: usize = 100;

/// Names of classes that are spelt out; more are in the manifest.
const MOST_NAMES: usize = 20;

/// Paragraphs for the header's first comment, each line indented by three columns. `prefix`: that of the macros.
pub(super) fn usage(manifest: &Manifest, arithmetic: &Preprocess, prefix: &str) -> String {
    let symbol = |function: &str| codegen::symbol(&manifest.name, function);
    let mut paragraphs = vec![
        format!(
            "Memory. The caller owns all of it: the state block, one for all functions; an arena and, for each thread, a \
             block of scratch, of which {prefix}_ARENA_BYTES and {prefix}_SCRATCH_BYTES are enough for every function; \
             and the ports, a function's inputs and outputs in the order given below. All of them begin at multiples \
             of 64 bytes. Functions return 0. Only libc and libm are needed."
        ),
        format!(
            "State. {} fills all of it: parameters with first values drawn from `seed`, the states of optimizers with \
             zeros. For trained weights copy each tensor of weights.safetensors, as it is, to its {prefix}_..._OFFSET, \
             in place of calling {0} or after it.",
            symbol("init")
        ) + &prepare(manifest),
        "seed. Two int32_t: the low and the high half of the seed's 64 bits. The same seed gives the same bits."
            .to_owned(),
    ];
    if let Some(train) = &manifest.train {
        let truth = match train.loss.as_str() {
            "mse" => "`targets` are what `output` should be",
            _ => "`labels` are the classes' numbers, from 0",
        };
        paragraphs.push(format!(
            "Training. {} takes one step: it changes the state and gives the batch's mean loss. {truth}. `step` counts \
             from 0, `learning_rate` is that of the step; a program has only those of its inputs that it uses.",
            symbol("train")
        ));
    }
    paragraphs.push(preprocess(manifest, arithmetic));
    paragraphs.push(output(manifest));
    paragraphs.push(
        "Threads. Where parallel_for is NULL, all runs on the calling thread with the block at `scratch`. Otherwise \
         parallel_for calls body for ranges that together cover 0..count once, on as many threads as it likes, and \
         returns when all are done. Each call gets the scratch block of the thread that runs it: scratch + \
         t*scratch_stride for thread t. Results do not depend on how the work is split."
            .to_owned(),
    );
    paragraphs.iter().map(|paragraph| wrapped(&uncommented(paragraph))).collect::<Vec<_>>().join("\n")
}

/// When to call `prepare`, if there is one.
fn prepare(manifest: &Manifest) -> String {
    let symbol = |function: &str| codegen::symbol(&manifest.name, function);
    match manifest.function("prepare") {
        Some(_) => format!(
            " When the state has changed, {} brings it into the forms that {} reads: call it in between.",
            symbol("prepare"),
            symbol("infer")
        ),
        None => String::new(),
    }
}

fn preprocess(manifest: &Manifest, arithmetic: &Preprocess) -> String {
    let value = if arithmetic.unit_range { "v/255" } else { "v" };
    let mut text = format!(
        "Images. {} makes the input of images of bytes v: ({value} - mean)/std by channel, with mean {:?} and std {:?}, \
         and nothing else.",
        codegen::symbol(&manifest.name, "preprocess"),
        arithmetic.mean,
        arithmetic.std
    );
    let [channels, height, width] = manifest.input.shape[..] else { return text };
    let geometry = &manifest.preprocess;
    let order = match (channels, geometry.bgr) {
        (3, true) => ": blue, green, red",
        (3, false) => ": red, green, blue",
        _ => "",
    };
    text.push_str(&format!(
        " They come in the order channel, row, column, a plane for each channel{order}. What netc does before, the \
         caller must do: "
    ));
    let resize = match geometry.resize {
        Some(ResizeInfo::Exact { height, width }) => format!("resize to {height} rows of {width} pixels, "),
        Some(ResizeInfo::ShorterSide(length)) => format!("resize so that the shorter side has {length} pixels, "),
        None => String::new(),
    };
    let size = format!("{height} rows of {width} pixels");
    let crop = match geometry.crop {
        CropInfo::None => format!("give {size}"),
        CropInfo::Center => format!("crop the centre, {size}"),
        CropInfo::Random => format!("crop the centre, or to train any place, to {size}"),
        CropInfo::PaddedRandom(padding) => {
            format!("crop the centre, or to train any place after padding by {padding} zeros, to {size}")
        }
    };
    let flip = match geometry.flip {
        0.0 => String::new(),
        share => format!(", and to train mirror left to right with probability {share}"),
    };
    text + &resize + &crop + &flip + "."
}

fn output(manifest: &Manifest) -> String {
    let shape = manifest.output_shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let classifies = manifest.train.as_ref().is_some_and(|train| train.loss == "cross_entropy");
    let meaning = match (manifest.output_is_probability, classifies || !manifest.classes.is_empty()) {
        (true, _) => "the probabilities of the classes",
        (false, true) => "logits, the larger the likelier; their softmax gives the classes' probabilities",
        (false, false) => "what the last layer gives",
    };
    let names = match manifest.classes.as_slice() {
        [] => String::new(),
        names if names.len() <= MOST_NAMES => {
            let names: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{i} {name}")).collect();
            format!(" The classes are {}.", names.join(", "))
        }
        names => format!(" The names of the {} classes are in the manifest.", names.len()),
    };
    format!("`output`. {shape} numbers an image: {meaning}.{names}")
}

/// The text without what would begin or end a comment.
fn uncommented(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.replace("*/", "* /").replace("/*", "/ *")
}

/// Lines of words, each indented.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from("  ")];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            let narrow = line.trim().is_empty() || line.chars().count() + 1 + word.chars().count() <= WIDTH;
            if narrow {
                line.push(' ');
                line.push_str(word);
                continue;
            }
        }
        lines.push(format!("   {word}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_within_its_comment() {
        assert_eq!(uncommented("a */ b /*/ c\n"), "a * / b / * / c ");
        assert_eq!(wrapped("a b"), "   a b\n");
        let long = wrapped(&"word ".repeat(50));
        assert!(long.lines().all(|line| line.starts_with("   word") && line.len() <= WIDTH), "{long}");
    }
}
