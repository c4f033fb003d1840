//! Variants of a spec: the table of `netc check`, and what is wrong with those that are wrong.

use crate::workshop::{TINY, Workshop};

/// The lines after the one that counts the variants.
#[track_caller]
fn table(text: &str) -> Vec<&str> {
    let (_, table) = text.split_once(" variants:\n").unwrap_or_else(|| panic!("no table:\n{text}"));
    table.lines().collect()
}

fn workshop(vary: &str) -> Workshop {
    let workshop = Workshop::new();
    workshop.write("vary.yaml", format!("{TINY}vary: {vary}\n"));
    workshop
}

#[test]
fn a_table_shows_all_variants_right_and_wrong() {
    let w = workshop("{conv1.kernels: [4, 8], maxpool.kernel_size: [2]}");
    w.netc("check vary.yaml").refused(1, &["vary.yaml:16:31", "there is no layer or section `maxpool`"]);
    let w = workshop("{conv1.kernels: [4, 8], maxpool1.kernel_size: [2, 3], dropout: [on, off]}");
    let text = w.netc("check vary.yaml --threads 1").fine();
    let lines = table(&text);
    assert_eq!(lines.len(), 10);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(lines[0])[..7],
        ["#", "conv1.kernels", "maxpool1.kernel_size", "dropout", "output", "params", "MACs"]
    );
    assert_eq!(words(lines[1])[..7], ["1", "4", "2", "on", "3", "235", "2.5"]);
    assert_eq!(words(lines[6])[..7], ["6", "8", "2", "off", "3", "467", "5.0"]);
    let wrong =
        "3  4              3                     on       error[inexact-size]: maxpool1 does not tile its input";
    assert_eq!(lines[3], wrong);
    assert_eq!(lines[9], "--variant 3 says all of what is wrong with number 3");
    // The spec itself stays as it is.
    let plain = w.netc("check tiny.yaml --threads 1").fine();
    assert!(text.starts_with(&plain), "{text}");
    let json = w.netc("check vary.yaml --format json").json();
    assert_eq!(json["variants"].as_array().unwrap().len(), 8);
    assert_eq!(json["variants"][5]["values"]["dropout"], "off");
    assert_eq!(json["variants"][5]["param_count"], 467);
    assert_eq!(json["variants"][5]["memory"][1]["mode"], "train");
    assert_eq!(json["variants"][2]["diagnostics"][0]["code"], "inexact-size");
}

#[test]
fn one_variant_is_checked_as_a_spec() {
    let w = workshop("{conv1.kernels: [4, 8], maxpool1.kernel_size: [2, 3]}");
    let text = w.netc("check vary.yaml --variant 3").fine();
    assert!(text.contains("conv1     conv     8×8×8") && !text.contains("variants"), "{text}");
    w.netc("check vary.yaml --variant 2").refused(
        1,
        &[
            "inexact-size",
            "vary.yaml:7:5",
            "(8 − 3 + 0)/3 + 1",
            "in the variant conv1.kernels=4, maxpool1.kernel_size=3",
        ],
    );
    w.netc("check vary.yaml --variant 5").refused(2, &["there is no variant 5: there are 4"]);
    w.netc("check tiny.yaml --variant 1").refused(2, &["there are no variants"]);
}

#[test]
fn the_command_line_varies_too() {
    let w = workshop("{conv1.kernels: [4, 8]}");
    let text = w.netc("check vary.yaml --vary conv1.bias=true,false --vary conv1.kernels=2,3,5").fine();
    let lines = table(&text);
    assert_eq!(lines.len(), 7);
    assert!(lines[0].starts_with("#  conv1.kernels  conv1.bias  output"), "{}", lines[0]);
    assert!(lines[6].starts_with("6  5              false       3 "), "{}", lines[6]);
    w.netc("check tiny.yaml --vary conv1.strife=1,2").refused(1, &["--vary:1:7", "conv1 has no setting `strife`"]);
    w.netc("check tiny.yaml --vary conv9.stride=1,2").refused(1, &["--vary:1:1", "no layer or section `conv9`"]);
    w.netc("check tiny.yaml --vary conv1.stride").refused(2, &["it has no `=`"]);
}

#[test]
fn other_commands_take_the_spec_as_written() {
    let w = workshop("{conv1.kernels: [4, 8]}");
    let hash = |folder: &str| w.read(&format!("{folder}/program.json"));
    w.netc("compile vary.yaml -o varied").fine();
    w.netc("compile tiny.yaml -o plain").fine();
    assert_eq!(hash("varied"), hash("plain"));
}

#[test]
fn the_netc_language_varies_alike() {
    let w = workshop("{conv1.kernels: [4, 8], dropout: [on, off]}");
    w.netc("fmt --to dsl vary.yaml -o vary.netc").fine();
    assert_eq!(w.netc("check vary.netc").fine(), w.netc("check vary.yaml").fine());
}

#[test]
fn the_largest_batch_is_found() {
    let w = Workshop::new();
    let all = w.netc("check tiny.yaml --batch 20 --mode train --threads 1 --format json").json();
    let bytes = all["memory"][0]["bytes"].as_u64().unwrap();
    let fit = |arguments: &str| w.netc(&format!("fit tiny.yaml --threads 1 --cache cache {arguments}"));
    let text = fit(&format!("--memory {bytes}")).fine();
    assert!(text.starts_with("tiny trains on batches of 20 in "), "{text}");
    assert!(text.contains("a batch takes at least ") && text.contains("inputs and outputs"), "{text}");
    let json = fit(&format!("--memory {} --format json", bytes - 1)).json();
    assert_eq!(json["batch"], 19);
    let sum: u64 = json["contents"].as_array().unwrap().iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(json["bytes"], sum);
    fit("--memory 1KB").refused(1, &["not even a batch of 1 fits in 1KB: tiny takes at least ", " would do"]);
    fit("--memory 1XB").refused(2, &["must be an amount of memory"]);
    fit("--memory 64GiB --mode infer").fine();
    // Once measured, the speed of the machine is known.
    assert!(w.netc("check tiny.yaml --cache cache").fine().contains("at least"));
    assert!(w.netc("check tiny.yaml --cache other").fine().contains("netc check --measure"));
}
