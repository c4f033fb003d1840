//! The specs that come with netc are right, and have the sizes that their sources state.

use netc::check::{LayerKind, Network, network_from_text};

fn network(name: &str) -> Network {
    let path = format!("{}/specs/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    match network_from_text(&path, &text) {
        Ok((network, _)) => network,
        Err(problems) => panic!("{problems:#?}"),
    }
}

#[test]
fn alexnet_has_the_articles_sizes() {
    let network = network("alexnet");
    assert_eq!(network.param_count(), 62_378_344);
    assert_eq!(network.macs(), 1_135_256_096);
    let conv1 = network.layers().map(|(_, l)| l).find(|l| l.name == "conv1").unwrap();
    assert_eq!(conv1.shape, [96, 55, 55]);
    assert_eq!(conv1.derivations[0].numbers, "(224 − 11 + (1 + 2))/4 + 1");
    assert!(matches!(conv1.kind, LayerKind::Conv { .. }));
    let names: Vec<&str> = network.layers().map(|(_, l)| l.name.as_str()).collect();
    assert_eq!(names[..6], ["image", "conv1", "relu1", "lrn1", "maxpool1", "conv2"]);
    let output = network.output().unwrap();
    assert_eq!(network.layer(output).shape, [1000]);
}
