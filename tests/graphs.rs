//! The graphs of the specs that come with netc.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::check::network_from_text;
use netc::graph::text::parse;
use netc::graph::verify;
use netc::passes::functions;

#[test]
fn graphs_look_as_they_should() {
    insta::glob!("../specs", "*.yaml", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let (network, _) = network_from_text(&path.display().to_string(), &text).unwrap();
        let mut shown = String::new();
        for graph in functions(&network, 2, network.train.is_some()).unwrap().graphs {
            verify(&graph).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(parse(&graph.to_string()).unwrap(), graph);
            // Places in the source would change the snapshot with every comment.
            let mut graph = graph;
            graph.nodes.iter_mut().for_each(|node| node.span = Default::default());
            shown += &format!("{graph}\n");
        }
        insta::assert_snapshot!(shown);
    });
}
