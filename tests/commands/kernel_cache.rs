//! Kernels that were compiled once: they are found again, and it makes no difference to what is written.

use crate::workshop::{Workshop, project, sha256};
use serde_json::{Value, json};

/// Compiles into the folder `output` with the cache `cache`; gives how many kernels were compiled and found.
#[track_caller]
fn compile(workshop: &Workshop, what: &str, output: &str, cache: &str) -> Value {
    let done = workshop.netc(&format!("compile {what} -o {output} --cache {cache} --format json"));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:#?}");
    done.json()["kernels"].clone()
}

/// The files of a folder with their hashes.
fn contents(workshop: &Workshop, folder: &str) -> Vec<(String, String)> {
    let files = workshop.files(folder);
    files.into_iter().map(|name| (sha256(&workshop.read(&format!("{folder}/{name}"))), name)).collect()
}

#[test]
fn an_edit_of_alexnets_last_layer_compiles_the_kernels_that_it_changes() {
    let workshop = Workshop::empty();
    let alexnet = project("specs/alexnet.yaml");
    let spec = format!("{} --mode infer", alexnet.display());
    let first = compile(&workshop, &spec, "first", "cache");
    let all = first["compiled"].as_u64().unwrap();
    assert!(all > 30 && first["reused"] == 0, "{first}");
    assert_eq!(compile(&workshop, &spec, "again", "cache"), json!({ "compiled": 0, "reused": all }));
    assert_eq!(contents(&workshop, "first"), contents(&workshop, "again"));
    // The product, the packing of its weights, and the first values of weight and bias.
    let edited = format!("{spec} --set fc8.features=10");
    assert_eq!(compile(&workshop, &edited, "edited", "cache"), json!({ "compiled": 4, "reused": all - 4 }));
    compile(&workshop, &edited, "anew", "other");
    assert_eq!(contents(&workshop, "edited"), contents(&workshop, "anew"));
}

#[test]
fn damaged_kernels_are_compiled_again() {
    let workshop = Workshop::new();
    let all = compile(&workshop, "tiny.yaml", "first", "cache")["compiled"].clone();
    let kernels = workshop.files("cache/kernels");
    assert_eq!(all, kernels.len());
    workshop.write(&format!("cache/kernels/{}", kernels[0]), "");
    let mut flipped = workshop.read(&format!("cache/kernels/{}", kernels[1]));
    *flipped.last_mut().unwrap() ^= 1;
    workshop.write(&format!("cache/kernels/{}", kernels[1]), flipped);
    let again = compile(&workshop, "tiny.yaml", "second", "cache");
    assert_eq!(again, json!({ "compiled": 2, "reused": kernels.len() - 2 }));
    assert_eq!(contents(&workshop, "first"), contents(&workshop, "second"));
    assert_eq!(workshop.files("cache/kernels"), kernels);
}

#[test]
fn a_cache_that_cannot_be_made_is_done_without() {
    let workshop = Workshop::new();
    workshop.write("file", "");
    let made = compile(&workshop, "tiny.yaml", "out", "file");
    assert_eq!(made["reused"], 0);
    let text = workshop.netc("compile tiny.yaml -o out --cache good").fine();
    assert!(!text.contains("from the cache"), "{text}");
    let text = workshop.netc("compile tiny.yaml -o out --cache good").fine();
    assert!(text.contains(&format!("; {0} of {0} kernels from the cache", made["compiled"])), "{text}");
}
