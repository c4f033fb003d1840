//! `netc check --fix`: what is certain is mended in the files, and nothing else is touched.

use crate::workshop::Workshop;

#[test]
fn sure_fixes_are_carried_out_and_told() {
    let w = Workshop::empty();
    let spec = "# kept\nnet: t\ninput: {shape: [3, 8, 8]}\nlayers:\n  - conv: {filters: 8.0, ksize: \"3\", pad: valid} # too\n  - relu\n";
    w.write("t.yaml", spec);
    let done = w.netc("check t.yaml --fix");
    let told: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("fixed: ")).collect();
    assert_eq!(
        told,
        [
            "fixed: t.yaml:5:12: the word is `kernels`",
            "fixed: t.yaml:5:26: the word is `kernel_size`",
            "fixed: t.yaml:5:38: the word is `padding`",
            "fixed: t.yaml:5:21: 8",
            "fixed: t.yaml:5:39: 3",
            "fixed: t.yaml:5:53: 0",
        ]
    );
    assert!(done.code == 0 && done.stdout.contains("8×6×6"), "{done:?}");
    let mended = String::from_utf8(w.read("t.yaml")).unwrap();
    assert_eq!(
        mended,
        "# kept\nnet: t\ninput: {shape: [3, 8, 8]}\nlayers:\n  - conv: {kernels: 8, kernel_size: 3, padding: 0} # too\n  - relu\n"
    );
    let again = w.netc("check t.yaml --fix");
    assert!(!again.stderr.contains("fixed"), "{}", again.stderr);
}

#[test]
fn what_is_left_is_an_error() {
    let w = Workshop::empty();
    w.write("t.netc", "net: t\ninput image [3, 8, 8]\nconv(8, 3, stride: 2)\nrelu");
    w.netc("check t.netc --fix").refused(1, &["fixed: t.netc:1:4: remove the colon", "inexact-size"]);
    assert_eq!(w.read("t.netc"), b"net t\ninput image [3, 8, 8]\nconv(8, 3, stride: 2)\nrelu");
}

#[test]
fn included_files_are_mended_too() {
    let w = Workshop::empty();
    w.write("t.yaml", "include: part.yaml\nnet: t\ninput: {shape: [3, 8, 8]}\n");
    w.write("part.yaml", "layers:\n  - conv: {out_channels: 8, kernel_size: 3}\n");
    assert_eq!(w.netc("check t.yaml --fix").code, 0);
    assert_eq!(w.read("part.yaml"), b"layers:\n  - conv: {kernels: 8, kernel_size: 3}\n");
}

#[test]
fn nothing_is_touched_where_nothing_is_sure() {
    let w = Workshop::empty();
    let spec = "net: t\ninput: {shape: [3, 8, 8]}\nlayers: [conv: {kernls: 8, kernel_size: 3}]\n";
    let path = w.write("t.yaml", spec);
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    w.netc("check t.yaml --fix").refused(1, &["did you mean `kernels`?"]);
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    w.netc("check - --fix").refused(2, &["standard input has none"]);
    w.netc("check none.yaml --fix").refused(1, &["none.yaml"]);
}
