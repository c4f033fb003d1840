//! Mistakes of YAML syntax: each is told in place, its fix mends it, and it brings no other report with it.

use netc::check;
use netc::diag::{Applicability, Code, Diagnostic, Severity, apply};
use netc::source::Sources;
use netc::spec;

const GOOD: &str = "\
net: t
input: {name: image, shape: [3, 8, 8]}
classes: [\"a b\", 'c', d]
params: {width: 8}
layers:
  - conv: {name: first, kernels: width, kernel_size: [3, 3], init: {weight: {normal: {std: 0.1}}}}
  - relu
  - conv:
      name: second
      kernels: 8
      kernel_size: 3
  - flatten
  - linear: {name: last, features: 3}
train:
  loss: cross_entropy
  optimizer: {sgd: {lr: 0.1}}
  batch: 8
  epochs: 3
preprocess:
  mean: 0.5
";

fn problems(text: &str) -> Vec<Diagnostic> {
    match check::check(&spec::parse(&mut Sources::new(), "t.yaml", text)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().filter(|d| d.severity == Severity::Error).collect(),
    }
}

/// A slip of the good text: what becomes what, what is said, the text that is named, and whether the fix is sure.
type Slip = (&'static str, &'static str, &'static str, &'static str, bool);

const SLIPS: [Slip; 27] = [
    ("[3, 8, 8]}", "[3, 8, 8]", "this `{` is not closed", "{", false),
    ("[3, 8, 8]}", "[3, 8, 8}", "`}` cannot close `[`", "}", false),
    ("[3, 8, 8]}", "[3, 8, 8}}", "`}` cannot close `[`", "}", false),
    ("[3, 8, 8]}", "[3, 8, 8]}}", "this `}` closes nothing", "}", true),
    ("[3, 8, 8]}", "[3, 8, 8]},", "a comma stands only within brackets", ",", true),
    ("[3, 8, 8]}", "[[3, 8, 8]}", "one `[` too many is opened here", "[", false),
    ("{name: last,", "{name: last},", "this `}` closes too early", "}", false),
    ("{name: last,", "{{name: last,", "one `{` too many is opened here", "{", false),
    ("[3, 8, 8]", "[3, 8 8]", "a comma is missing between these numbers", "8 8", false),
    ("width, kernel_size", "width kernel_size", "a comma is missing before this", "kernel_size", false),
    ("[3, 3], init", "[3, 3] init", "a comma is missing before this", "init", false),
    ("\"a b\", 'c'", "\"a b\" 'c'", "a comma is missing before this", "'c'", false),
    ("\n  batch: 8", "\n  batch 8", "a key needs a colon after it", "batch", false),
    ("train:", "train", "a key needs a colon after it", "train", false),
    ("features: 3", "features 3", "a key needs a colon after it", "features", false),
    ("shape: [", "shape [", "a key needs a colon after it", "shape", false),
    ("- linear: {", "- linear {", "a key needs a colon after it", "linear", false),
    ("- linear: {", "- linear{", "a key needs a colon and a space after it", "linear", false),
    ("- linear: {", "- linear:{", "a colon needs a space after it", "linear", true),
    ("\n  batch: 8", "\n  batch:8", "a colon needs a space after it", "batch", true),
    ("features: 3", "features:3", "a colon needs a space after it", "features", true),
    ("\n  batch: 8", "\n\tbatch: 8", "a tab cannot indent a line", "\t", false),
    ("  - relu", "\t- relu", "a tab cannot indent a line", "\t", false),
    ("\"a b\"", "\"a b", "this text is never closed", "\"", false),
    ("'c'", "'c", "this text is never closed", "'", false),
    ("  - flatten", "  flatten", "an entry of a list begins with a dash", "flatten", false),
    ("  epochs: 3", "  epochs: 3\n  epochs: 3", "`epochs` appears twice", "epochs", true),
];

#[test]
fn each_mistake_has_its_words_its_place_and_its_fix() {
    assert_eq!(problems(GOOD), []);
    for (good, bad, message, place, sure) in SLIPS {
        let text = GOOD.replacen(good, bad, 1);
        let found = problems(&text);
        let [problem] = found.as_slice() else { panic!("{bad:?}: {found:#?}") };
        assert_eq!(problem.message, message, "{bad:?}");
        let span = problem.span().expect("a place");
        assert_eq!(&text[span.start as usize..span.end as usize], place, "{bad:?}");
        let [fix] = problem.fixes.as_slice() else { panic!("{bad:?}: {problem:#?}") };
        assert_eq!(fix.applicability == Applicability::Sure, sure, "{bad:?}: {fix:?}");
        let mended = apply(&text, fix).expect("edits that can be made");
        assert_eq!(problems(&mended), [], "{bad:?} mended:\n{mended}");
    }
}

#[test]
fn wrong_indents_are_mended() {
    for (good, bad) in [
        ("\n  batch: 8", "\n   batch: 8"),
        ("\n  batch: 8", "\n batch: 8"),
        ("\n      kernels: 8", "\n     kernels: 8"),
        ("\n      kernels: 8", "\n       kernels: 8"),
        ("\n  - flatten", "\n - flatten"),
        ("\n  - flatten", "\n- flatten"),
        ("\n  - linear", "\n   - linear"),
        ("\n  - relu\n", "\n  - relu\n    - tanh\n"),
        ("\ntrain:", "\n train:"),
    ] {
        let text = GOOD.replacen(good, bad, 1);
        let found = problems(&text);
        assert!(!found.is_empty(), "{text}");
        let mends = |fix| apply(&text, fix).is_some_and(|mended| problems(&mended).is_empty());
        assert!(found.iter().flat_map(|p| &p.fixes).any(mends), "{bad:?}: {found:#?}");
    }
}

#[test]
fn all_mistakes_are_told_in_one_run() {
    let two: Vec<Slip> = SLIPS.into_iter().filter(|slip| slip.0.contains("[3, 8, 8]")).collect();
    for first in two {
        for second in SLIPS.into_iter().filter(|slip| slip.0.contains("linear") || slip.0.contains("batch")) {
            let text = GOOD.replacen(first.0, first.1, 1).replacen(second.0, second.1, 1);
            let found = problems(&text.replacen("mean", "maen", 1));
            let messages: Vec<&str> = found.iter().map(|p| p.message.as_str()).collect();
            assert_eq!(messages, [first.2, second.2, "preprocess has no setting `maen`"], "{text}");
        }
    }
}

/// What reads a damaged layer, names it or has its number after it is not blamed.
#[test]
fn nothing_is_said_of_those_around() {
    let of = |layers: &str| {
        let text = format!("net: t\ninput: {{name: image, shape: [3, 8, 8]}}\nlayers:\n{layers}");
        problems(&text).into_iter().map(|p| p.message).collect::<Vec<_>>()
    };
    let open = ["this `{` is not closed"];
    assert_eq!(
        of("  - conv: {name: a, kernels: 8, kernel_size: 3\n  - relu: {from: a}\n  - add: {from: [a, relu1]}\n"),
        open
    );
    assert_eq!(of("  - maxpool: {kernel_size: 2\n  - relu: {from: maxpool1}\n  - linear: {features: 2}\n"), open);
    assert_eq!(of("  - relu: {name: a}\n  - tanh: {from: image}\n  - add: {from: [a, tanh1]\n  - tanh\n"), open);
    assert_eq!(of("  - relu: {name: a\n  - relu\nvary: {maxpool1.stride: [1, 2], b.stride: [1, 2]}\n"), open);
    assert_eq!(of("  - flatten\n  - linear: {features: 2\nclasses: [a, b, c]\n"), open);
}

#[test]
fn fixes_that_are_sure_are_carried_out() {
    let folder = std::env::temp_dir().join(format!("netc-syntax-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("t.yaml");
    let sure = SLIPS.into_iter().filter(|slip| slip.4 && !slip.1.ends_with(','));
    let bad = sure.fold(GOOD.to_string(), |text, slip| text.replacen(slip.0, slip.1, 1));
    std::fs::write(&path, bad).expect("a file");
    let done = netc::driver::mend(&path).expect("fixes");
    let text = std::fs::read_to_string(&path).expect("a text");
    std::fs::remove_dir_all(&folder).expect("no folder");
    assert_eq!(text, GOOD);
    assert_eq!(done.len(), 5);
}

/// Every line of every spec, damaged in several ways: whatever is said is said of that.
#[test]
fn a_damaged_item_brings_no_other_report() {
    let mut damaged = 0;
    for entry in std::fs::read_dir("specs").expect("the specs") {
        let path = entry.expect("a spec").path();
        let name = path.to_string_lossy().into_owned();
        if !name.ends_with(".yaml") {
            continue;
        }
        let good = std::fs::read_to_string(&path).expect("a text");
        let check = |text: &str| {
            let mut sources = Sources::new();
            let mut spec = spec::parse(&mut sources, &name, text);
            spec::include(&mut spec, &mut sources, &mut netc::driver::included);
            check::check(&spec).err().unwrap_or_default()
        };
        let mut at = 0;
        for line in good.split_inclusive('\n') {
            let end = at + line.trim_end().len();
            if line.trim_end().ends_with(['}', ']']) && !line.trim_start().starts_with('#') {
                let sign = &good[end - 1..end];
                for text in [
                    format!("{}{}", &good[..end - 1], &good[end..]),
                    format!("{}{sign}{}", &good[..end], &good[end..]),
                    format!("{}\"{}", &good[..end - 1], &good[end - 1..]),
                    format!("{} x: y{}", &good[..end - 1], &good[end - 1..]),
                ] {
                    let found = check(&text);
                    if found.iter().all(|p| p.code != Code::InvalidYaml) {
                        continue;
                    }
                    damaged += 1;
                    for problem in found.iter().filter(|p| p.severity == Severity::Error) {
                        let own = problem.span().is_some_and(|s| (at..=end + 1).contains(&(s.start as usize)));
                        assert!(own || problem.code == Code::InvalidYaml, "{name} {line}{problem:#?}");
                    }
                }
            }
            at += line.len();
        }
    }
    assert!(damaged > 500, "{damaged}");
}

#[test]
fn a_text_full_of_mistakes_takes_no_time() {
    let many = format!("net: t\nlayers:\n{}", "  - conv: {kernels: 8\n".repeat(20_000));
    let found = problems(&many);
    assert!((1..=20).contains(&found.len()), "{}", found.len());
    let deep = format!("net: t\nlayers:\n  - {}\n", "{a: [".repeat(10_000));
    assert!(!problems(&deep).is_empty());
}
