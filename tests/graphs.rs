//! The graphs of the specs that come with netc.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::check::{PORT_NAMES, network_from_text};
use netc::driver;
use netc::graph::text::parse;
use netc::graph::verify;
use netc::passes::functions;

/// Specs whose graphs are looked at; those of the others are of the same kinds.
const SHOWN: [&str; 4] = ["alexnet.yaml", "alexnet-half.yaml", "alexnet-paper.yaml", "lenet.yaml"];

#[test]
fn graphs_look_as_they_should() {
    insta::glob!("../specs", "*.yaml", |path| {
        // From the file: it may take in others.
        let network = driver::check(driver::read(path, &[]).unwrap()).map(|checked| checked.network).unwrap();
        let mut shown = String::new();
        for graph in functions(&network, 2, network.train.is_some()).unwrap().graphs {
            verify(&graph).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(parse(&graph.to_string()).unwrap(), graph);
            // Places in the source would change the snapshot with every comment.
            let mut graph = graph;
            graph.nodes.iter_mut().for_each(|node| node.span = Default::default());
            shown += &format!("{graph}\n");
        }
        if SHOWN.iter().any(|name| path.ends_with(name)) {
            insta::assert_snapshot!(shown);
        }
    });
}

/// An input with the name of another port would be taken for it.
#[test]
fn ports_have_names_that_no_input_can_have() {
    let mut seen = std::collections::BTreeSet::new();
    for loss in ["cross_entropy", "mse"] {
        let text = format!(
            "net: t\ninput: {{name: image, shape: [4]}}\nlayers: [dropout: {{p: 0.5}}, linear: {{features: 3}}]\n\
             train: {{loss: {loss}, optimizer: {{sgd: {{lr: 0.1}}}}, batch: 2, epochs: 1}}\n"
        );
        let network = network_from_text("t.yaml", &text).unwrap().0;
        for graph in functions(&network, 2, true).unwrap().graphs {
            seen.extend(graph.inputs.iter().map(|&v| graph.value(v).name.clone()));
            seen.extend(graph.outputs.iter().map(|(name, _)| name.clone()));
        }
        for name in PORT_NAMES {
            let problems = network_from_text("t.yaml", &text.replace("image", name)).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].code, netc::diag::Code::InvalidName);
        }
    }
    assert!(seen.remove("image"));
    assert_eq!(seen, PORT_NAMES.iter().map(ToString::to_string).collect());
}
