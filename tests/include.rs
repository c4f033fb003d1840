//! A spec takes in what the files that it includes say, and nothing else.

use netc::check;
use netc::diag::{Style, render};
use netc::driver;
use netc::source::Sources;
use netc::spec;
use std::collections::BTreeMap;

/// The spec `main.yaml` among these files, with what it includes, as YAML; or the report.
fn included(files: &[(&str, &str)]) -> Result<String, String> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let mut sources = Sources::new();
    let mut main = spec::parse(&mut sources, "main.yaml", files["main.yaml"]);
    spec::include(&mut main, &mut sources, &mut |name, from| match files.get(name) {
        Some(text) => Ok((name.to_string(), text.as_bytes().to_vec())),
        None => Err(format!("{from} asks for {name}")),
    });
    let network = check::check(&main);
    match network {
        Ok(_) => Ok(spec::print(&main)),
        Err(problems) => Err(render(&problems, &sources, Style::Plain)),
    }
}

const SMALL: &str = "net: t\ninput: {shape: [3, 8, 8]}\nlayers: [conv: {kernels: width, kernel_size: 3}, flatten]\n";

#[test]
fn what_a_spec_says_goes_first() {
    let main = format!("include: [a.netc, b.yaml]\n{SMALL}params: {{width: 4}}\ntrain: {{batch: 8}}\n");
    let a = "params {width: 9, depth: 2}\ntrain {loss: mse, batch: 1}\ninit {conv: {bias: 0}}";
    let b = "net: other\ntrain: {loss: cross_entropy, epochs: 3, optimizer: {sgd: {lr: 0.1}}}\nlayers: [relu]\n";
    let files = [("main.yaml", main.as_str()), ("a.netc", a), ("b.yaml", b)];
    insta::assert_snapshot!(included(&files).expect("a good spec"));
}

#[test]
fn a_spec_may_be_all_in_its_parts() {
    let files = [("main.yaml", "include: a.yaml"), ("a.yaml", "include: b.yaml"), ("b.yaml", SMALL), ("c", "")];
    assert!(included(&files).expect_err("no parameter").contains("b.yaml:3:26"));
}

#[test]
fn what_cannot_be_included_is_reported_where_it_is_named() {
    let main = format!("{SMALL}include: [a.yaml, none.yaml, 7]\nparams: {{width: 4}}\n");
    let a = "include: main.yaml\nparms: {width: 2}\n";
    insta::assert_snapshot!(included(&[("main.yaml", &main), ("a.yaml", a)]).expect_err("errors"));
}

#[test]
fn files_are_found_from_the_folder_of_the_one_that_includes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("nets/deep")).expect("folders");
    std::fs::create_dir_all(path("parts")).expect("a folder");
    std::fs::write(path("nets/deep/main.yaml"), format!("include: ../../parts/a.yaml\n{SMALL}")).expect("a file");
    std::fs::write(path("parts/a.yaml"), "include: b.netc\n").expect("a file");
    std::fs::write(path("parts/b.netc"), "params {width: 4}\n").expect("a file");
    let text = driver::read(&path("nets/deep/main.yaml"), &["params.width=5".to_string()]).expect("a spec");
    let network = driver::check(text).expect("a good spec").network;
    assert_eq!(network.param_count(), 5 * 27 + 5);
    std::fs::write(path("parts/b.netc"), [0xff, 0xfe]).expect("a file");
    let text = driver::read(&path("nets/deep/main.yaml"), &[]).expect("a spec");
    assert!(driver::check(text).is_err());
}
