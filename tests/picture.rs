//! Pictures of networks: nothing overlaps, text fits, lines end where they should.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use netc::check::Network;
use netc::picture::{Bar, BarRow, Bars, Card, Picture, chart, chart_svg, draw, svg, width};
use std::collections::BTreeSet;

fn network(name: &str, text: &str) -> Network {
    let checked = netc::check::network_from_text(name, text);
    checked.unwrap_or_else(|problems| panic!("{name}: {problems:#?}")).0
}

/// Branches within branches, and connections that are neither.
const TANGLED: &str = "net: tangled
input: {name: image, shape: [4, 8, 8]}
layers:
  - conv: {name: a, kernels: 4, kernel_size: 1}
  - conv: {name: b, kernels: 4, kernel_size: 1, from: image}
  - add: {name: s1, from: [a, b]}
  - add: {name: s2, from: [a, b, image]}
  - concat: {name: j, from: [s1, s2]}
  - conv: {name: x, kernels: 8, kernel_size: 1}
  - add: {name: y, from: [x, j]}
  - add: {name: z, from: [y, j]}
  - add: {name: w, from: [z, z]}
  - conv: {name: l, kernels: 8, kernel_size: 1}
  - conv: {name: l1, kernels: 8, kernel_size: 1}
  - relu: {name: l2, from: l}
  - add: {name: l3, from: [l1, l2]}
  - conv: {name: r, kernels: 8, kernel_size: 1, from: w}
  - relu: {name: r1}
  - tanh: {name: r2, from: r1}
  - concat: {name: end, from: [l3, r1, r2, l]}
  - global_avgpool
  - flatten
  - softmax: {name: a_name_much_longer_than_any_that_anybody_would_choose}
";

/// Everything in specs, and a network of many odd connections.
fn networks() -> Vec<Network> {
    let mut found = vec![network("tangled.yaml", TANGLED)];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("specs");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "yaml")) {
        let checked = netc::driver::read(path, &[]).and_then(netc::driver::check);
        found.push(checked.unwrap_or_else(|_| panic!("{} is wrong", path.display())).network);
    }
    assert!(found.len() > 4);
    found
}

/// Left, top, right, bottom.
fn edges(card: &Card) -> [i32; 4] {
    [card.x, card.y, card.x + card.width, card.y + card.height]
}

/// Whether the insides of two rectangles meet.
fn meet(a: [i32; 4], b: [i32; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

fn each(check: impl Fn(&Network, &Picture)) {
    for network in networks() {
        check(&network, &draw(&network));
    }
}

#[test]
fn every_layer_is_in_one_box() {
    each(|network, picture| {
        let drawn: Vec<&str> = picture.cards.iter().flat_map(|c| &c.layers).map(String::as_str).collect();
        let once: BTreeSet<&str> = drawn.iter().copied().collect();
        assert_eq!(once.len(), drawn.len());
        assert_eq!(once, network.layers().map(|(_, layer)| layer.name.as_str()).collect());
    });
}

#[test]
fn boxes_do_not_overlap_and_lie_within_the_picture() {
    each(|network, picture| {
        for (i, a) in picture.cards.iter().enumerate() {
            let [left, top, right, bottom] = edges(a);
            assert!(left > 0 && top > 0 && right < picture.width && bottom < picture.height, "{}: {a:?}", network.name);
            for b in &picture.cards[i + 1..] {
                assert!(!meet(edges(a), edges(b)), "{}: {a:?} {b:?}", network.name);
            }
        }
    });
}

#[test]
fn text_fits_its_box_and_overlaps_no_other() {
    each(|network, picture| {
        for card in &picture.cards {
            let places: Vec<[i32; 4]> = card
                .texts
                .iter()
                .map(|text| {
                    let (wide, size) = (width(&text.text, text.role), text.role.size());
                    let left = if text.ends { text.x - wide } else { text.x };
                    [left, text.y - size, left + wide, text.y + size / 4]
                })
                .collect();
            for (i, place) in places.iter().enumerate() {
                let [left, top, right, bottom] = edges(card);
                // A stripe is on the left.
                let fits = place[0] >= left + 7 && place[1] >= top && place[2] <= right - 4 && place[3] <= bottom;
                assert!(fits, "{}: {place:?} in {card:?}", network.name);
                for other in &places[i + 1..] {
                    assert!(!meet(*place, *other), "{}: {card:?}", network.name);
                }
            }
        }
    });
}

#[test]
fn lines_end_at_their_boxes_and_cross_none() {
    each(|network, picture| {
        for line in &picture.lines {
            let on_edge = |card: &Card, (x, y): (i32, i32)| {
                let [left, top, right, bottom] = edges(card);
                let across = (left..=right).contains(&x) && (y == top || y == bottom);
                across || (top..=bottom).contains(&y) && (x == left || x == right)
            };
            let (first, last) = (line.points[0], line.points[line.points.len() - 1]);
            assert!(on_edge(&picture.cards[line.from], first), "{}: {line:?}", network.name);
            assert!(on_edge(&picture.cards[line.to], last), "{}: {line:?}", network.name);
            for piece in line.points.windows(2) {
                let ((ax, ay), (bx, by)) = (piece[0], piece[1]);
                assert!(ax == bx || ay == by, "{}: {line:?}", network.name);
                let piece = [ax.min(bx), ay.min(by), ax.max(bx), ay.max(by)];
                assert!(piece[0] > 0 && piece[2] < picture.width, "{}: {line:?}", network.name);
                for card in &picture.cards {
                    // A line has no width, so that it meets a box whose inside it touches.
                    assert!(!meet(piece, edges(card)), "{}: {line:?} crosses {card:?}", network.name);
                }
            }
        }
    });
}

/// Lines between boxes are the connections between layers, those within a box aside.
#[test]
fn lines_are_the_connections() {
    each(|network, picture| {
        let card = |name: &str| picture.cards.iter().position(|c| c.layers.iter().any(|l| l == name)).unwrap();
        let mut expected = Vec::new();
        for (id, layer) in network.layers() {
            let to = card(&layer.name);
            let inputs = network.inputs(id);
            let inputs = inputs.iter().map(|&input| network.layer(input).name.as_str());
            expected.extend(inputs.map(card).filter(|&from| from != to).map(|from| (from, to)));
        }
        let mut drawn: Vec<(usize, usize)> = picture.lines.iter().map(|line| (line.from, line.to)).collect();
        expected.sort();
        drawn.sort();
        assert_eq!(drawn, expected, "{}", network.name);
        // What is in a box follows what stands before it in it.
        for card in &picture.cards {
            for pair in card.layers.windows(2) {
                let (id, _) = network.layers().find(|(_, layer)| layer.name == pair[1]).unwrap();
                let read = network.inputs(id);
                assert_eq!(network.layer(read[0]).name, pair[0]);
            }
        }
    });
}

#[test]
fn the_document_is_the_same_each_time_and_well_formed() {
    each(|network, picture| {
        let document = svg(picture);
        assert_eq!(document, svg(&draw(network)));
        // Tags close in order; text is escaped.
        let mut open: Vec<&str> = Vec::new();
        let mut rest = document.as_str();
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'));
            let end = start + rest[start..].find('>').unwrap();
            let tag = &rest[start + 1..end];
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) => assert_eq!(open.pop(), Some(name)),
                (false, false) => open.push(name),
                (false, true) => {}
            }
            rest = &rest[end + 1..];
        }
        assert_eq!(open, Vec::<&str>::new());
    });
}

/// Ten thousand layers, and a thousand connections around each other.
#[test]
fn large_networks_are_drawn() {
    let mut text = String::from("net: long\ninput: {name: image, shape: [4]}\nlayers:\n");
    for i in 0..9_000 {
        text.push_str(&format!("  - linear: {{name: l{i}, features: 4}}\n"));
    }
    assert_eq!(draw(&network("long.yaml", &text)).cards.len(), 9_001);
    let mut text = String::from("net: nested\ninput: {name: image, shape: [4]}\nlayers:\n");
    for i in 0..400 {
        text.push_str(&format!("  - linear: {{name: d{i}, features: 4}}\n"));
    }
    text.push_str("  - linear: {name: u400, features: 4}\n");
    for i in (0..400).rev() {
        text.push_str(&format!("  - add: {{name: u{i}, from: [d{i}, u{}]}}\n", i + 1));
    }
    let nested = draw(&network("nested.yaml", &text));
    assert_eq!(nested.lines.len(), 1 + 400 + 400 + 400);
}

/// Times of all layers of a network, of very different sizes.
fn bars(network: &Network) -> Bars {
    let row = |(i, name): (usize, String)| {
        let bar = |time: u64, least: f64| Some(Bar { time, least: Some(least) });
        let forward = 7u64.pow(i as u32 % 10);
        let (forward, backward) = (bar(forward, 0.3 * forward as f64), bar(2 * forward, 2.5 * forward as f64));
        let along = if i % 3 == 0 { format!("+{name}") } else { String::new() };
        BarRow { name, along, forward: forward.filter(|_| i % 5 != 1), backward: backward.filter(|_| i % 4 != 2) }
    };
    let names = network.layers().map(|(_, layer)| layer.name.clone());
    let mut rows: Vec<BarRow> = names.enumerate().map(row).collect();
    let between = Some(Bar { time: 123, least: None });
    rows.push(BarRow { name: "(between kernels)".to_owned(), along: String::new(), forward: between, backward: None });
    let whole = rows.iter().flat_map(|row| [row.forward, row.backward]).flatten().map(|bar| bar.time).sum();
    Bars { title: network.name.clone(), notes: vec!["a note <of> times".to_owned()], rows, whole }
}

#[test]
fn bars_and_their_texts_do_not_overlap_and_lie_within_the_picture() {
    for network in networks() {
        let chart = self::chart(&bars(&network));
        let texts = chart.texts.iter().map(|text| {
            let (wide, size) = (width(&text.text, text.role), text.role.size());
            let left = if text.ends { text.x - wide } else { text.x };
            [left, text.y - size, left + wide, text.y + size / 4]
        });
        let boxes = chart.boxes.iter().map(|bar| {
            let right = (bar.x + bar.width).ceil() as i32;
            [bar.x.floor() as i32, bar.y, right.max(bar.x.floor() as i32 + 1), bar.y + bar.height]
        });
        let (texts, boxes): (Vec<_>, Vec<_>) = (texts.collect(), boxes.collect());
        for (i, place) in texts.iter().enumerate() {
            let within = place[0] > 0 && place[1] > 0 && place[2] < chart.width && place[3] < chart.height;
            assert!(within, "{}: {:?}", network.name, chart.texts[i]);
            for other in texts[i + 1..].iter().chain(&boxes) {
                assert!(!meet(*place, *other), "{}: {:?} and {other:?}", network.name, chart.texts[i]);
            }
        }
        for (x, y, height) in chart.limits.iter().chain(&chart.scale) {
            assert!(*x > 0.0 && *x < f64::from(chart.width) && y + height < chart.height, "{}: {x} {y}", network.name);
        }
        let svg = chart_svg(&chart);
        assert!(svg.contains("a note &lt;of&gt; times") && svg.contains("prefers-color-scheme: dark"), "{svg}");
        assert_eq!(svg, chart_svg(&self::chart(&bars(&network))), "the same bars, the same bytes");
    }
}
