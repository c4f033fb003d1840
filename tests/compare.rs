//! What two networks differ in, and that the same network in another dress does not differ.

use netc::check::{self, Network};
use netc::compare::{Comparison, Effect, compare};
use netc::driver;
use std::fmt::Write;

fn spec(name: &str) -> Network {
    let path = format!("{}/specs/{name}", env!("CARGO_MANIFEST_DIR"));
    driver::check(driver::read(path.as_ref(), &[]).expect("a spec")).expect("a good spec").network
}

fn network(text: &str) -> Network {
    check::network_from_text("t.netc", text).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

fn lines(found: &Comparison) -> String {
    let mut out = String::new();
    for d in &found.differences {
        let _ = writeln!(out, "{}: {}: {} | {} ({})", d.place, d.setting, d.sides[0], d.sides[1], d.effect.word());
    }
    out
}

#[test]
fn versions_of_alexnet() {
    let versions =
        ["alexnet", "alexnet-2012", "alexnet-half", "alexnet-paper", "alexnet-torchvision", "bvlc_alexnet", "caffenet"];
    for (i, a) in versions.iter().enumerate() {
        for b in &versions[i + 1..] {
            let found = compare(&spec(&format!("{a}.yaml")), &spec(&format!("{b}.yaml")));
            insta::assert_snapshot!(format!("{a}_{b}"), lines(&found));
        }
    }
}

#[test]
fn twins_do_not_differ() {
    for name in ["alexnet", "googlenet", "lenet", "resnet18", "vgg16"] {
        let found = compare(&spec(&format!("{name}.yaml")), &spec(&format!("{name}.netc")));
        assert_eq!((lines(&found), found.paired > 10), (String::new(), true), "{name}");
    }
}

/// The effects of all differences that are more than a name.
fn effects(a: &str, b: &str) -> Vec<(String, Effect)> {
    let head = "net t\ninput image [3, 8, 8]\n";
    let found = compare(&network(&format!("{head}{a}")), &network(&format!("{head}{b}")));
    found.differences.into_iter().filter(|d| d.setting != "name").map(|d| (d.setting, d.effect)).collect()
}

#[test]
fn what_a_difference_can_change() {
    let one = |setting: &str, effect| vec![(setting.to_string(), effect)];
    let rest = "relu -> flatten -> linear(4)";
    for (a, b, expected) in [
        ("conv a(4, 3)", "conv b(4, 3)", vec![]),
        ("conv(4, 3, padding: 1)", "conv(4, 3, padding: {top: 1, bottom: 1, left: 1, right: 1})", vec![]),
        ("conv(4, 3, padding: [1, 1])", "conv(4, 3, padding: same)", vec![]),
        ("conv(4, 2, padding: [1, 0])", "conv(4, 2, padding: [0, 1])", one("padding", Effect::Results)),
        ("maxpool(2, rounding: ceil)", "maxpool(2)", one("rounding", Effect::Nothing)),
        (
            "maxpool(3, 2, rounding: ceil)",
            "maxpool(3, 2, padding: [0, 1])",
            vec![("padding".to_string(), Effect::Results), ("rounding".to_string(), Effect::Results)],
        ),
        ("lrn(5, alpha: 1e-4)", "lrn(5, alpha: 2e-5, divide_by_size: false)", one("s", Effect::Nothing)),
        ("lrn(5, alpha: 1e-4)", "lrn(5, alpha: 1e-4, divide_by_size: false)", one("s", Effect::Results)),
        (
            "lrn(5, alpha: 1e-4, divide_by_size: false)",
            "lrn(5, alpha: 1e-4, divide_by_size: false, region: map)",
            one("size", Effect::Results),
        ),
        (
            "lrn(5, alpha: 25e-4, region: map)",
            "lrn(5, alpha: 1e-4, divide_by_size: false, region: map)",
            one("s", Effect::Nothing),
        ),
        ("dropout(0.5)", "dropout(0.2)", one("p", Effect::Training)),
        ("dropout(0.5)", "tanh", vec![("layer".to_string(), Effect::Training), ("layer".to_string(), Effect::Results)]),
        ("flatten -> linear(6)", "linear(6)", one("layer", Effect::Nothing)),
        ("conv(4, 3, init: {bias: 1})", "conv(4, 3, init: {bias: 0})", one("init bias", Effect::Training)),
        ("adaptive_avgpool(8)", "", one("layer", Effect::Nothing)),
    ] {
        let rest = if a.contains("linear") { "relu" } else { rest };
        let found = effects(&format!("{a}\n{rest}"), &format!("{b}\n{rest}"));
        assert_eq!(found, expected, "{a} against {b}");
    }
}

#[test]
fn what_is_read_counts() {
    let stem = "conv a(4, 3, padding: 1)\nfrom a -> conv b(4, 1)\n";
    assert_eq!(
        effects(&format!("{stem}from [a, b] -> add"), &format!("{stem}from [b, a] -> add")),
        [("from".to_string(), Effect::Nothing)]
    );
    assert_eq!(
        effects(&format!("{stem}from [a, b] -> concat"), &format!("{stem}from [b, a] -> concat")),
        [("from".to_string(), Effect::Results)]
    );
}
