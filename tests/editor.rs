//! What an editor is told about a spec.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use lsp_types::{CompletionTextEdit, HoverContents, InlayHintLabel, Position, Range, TextEdit, Uri};
use netc::editor::Document;

/// A document that can include `parts/part.yaml`.
fn open(name: &str, text: impl Into<String>) -> Document {
    Document::new(name, text, &mut |wanted, _| match wanted {
        "part.yaml" => Ok(("/parts/part.yaml".to_string(), PART.as_bytes().to_vec())),
        other => Err(format!("there is no {other}")),
    })
}

const PART: &str = "params: {width: 16}
blocks:
  double: {params: {channels: null}, layers: [conv: {kernels: channels, kernel_size: 1}, relu, relu]}
train: {loss: mse, optimizer: {sgd: {lr: 0.1}}, batch: 8, epoch: 1}
";

const SPEC: &str = "net: t
input: {name: image, shape: [3, 32, 32]}
params: {width: 8}
blocks:
  residual:
    params: {channels: null, kernel: 3}
    layers:
      - conv: {name: first, kernels: channels, kernel_size: kernel, padding: kernel//2}
      - relu
      - add: {from: [relu1, input]}
layers:
  - conv: {name: stem, kernels: width, kernel_size: 3, stride: 2, padding: [0, 1]}
  - relu
  - residual: {name: stage1, channels: width, repeat: 2}
  - maxpool: {kernel_size: 2}
  - linear: {name: fc, features: 10}
train: {loss: cross_entropy, optimizer: {sgd: {lr: 0.1}}, batch: 32, epochs: 2}
";

/// The document and the place of `|` in a text.
fn marked(text: &str) -> (Document, Position) {
    let at = text.find('|').expect("a mark");
    let before = &text[..at];
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap().encode_utf16().count();
    (open("t.yaml", text.replacen('|', "", 1)), Position { line: line as u32, character: column as u32 })
}

/// `SPEC` with a mark after the first `word`, or what else to put there.
fn put(from: &str, to: &str) -> String {
    assert!(SPEC.contains(from), "{from}");
    SPEC.replacen(from, to, 1)
}

fn everything() -> Range {
    Range { start: Position::default(), end: Position { line: 999, character: 0 } }
}

fn uri() -> Uri {
    "file:///t.yaml".parse().unwrap()
}

fn hover(text: &str) -> String {
    let (document, position) = marked(text);
    match document.hover(position).map(|h| h.contents) {
        Some(HoverContents::Markup(content)) => content.value,
        other => panic!("{other:?}"),
    }
}

fn labels(text: &str) -> Vec<String> {
    let (document, position) = marked(text);
    document.completion(position, true).into_iter().map(|item| item.label).collect()
}

fn definition(text: &str) -> String {
    let (document, position) = marked(text);
    let range = document.definition(position).expect("a definition").range;
    let line = document.text.lines().nth(range.start.line as usize).unwrap();
    let units: Vec<u16> = line.encode_utf16().collect();
    let word = String::from_utf16(&units[range.start.character as usize..range.end.character as usize]).unwrap();
    format!("{}: {word}", range.start.line)
}

/// The text after edits.
fn edited(document: &Document, edits: &[TextEdit]) -> String {
    let lines: Vec<&str> = document.text.split('\n').collect();
    let byte = |p: Position| {
        let line = lines[p.line as usize];
        let units: Vec<u16> = line.encode_utf16().collect();
        let before: usize = lines[..p.line as usize].iter().map(|l| l.len() + 1).sum();
        before + String::from_utf16(&units[..p.character as usize]).unwrap().len()
    };
    let mut edits: Vec<&TextEdit> = edits.iter().collect();
    edits.sort_by_key(|e| std::cmp::Reverse(e.range.start));
    let mut text = document.text.clone();
    for edit in edits {
        text.replace_range(byte(edit.range.start)..byte(edit.range.end), &edit.new_text);
    }
    text
}

#[test]
fn a_right_spec_has_no_diagnostics_and_a_shape_after_each_layer() {
    let document = open("t.yaml", SPEC);
    assert_eq!(document.diagnostics(&uri()), []);
    let hints = document.inlay_hints(everything());
    let shown: Vec<String> = hints
        .iter()
        .map(|hint| {
            let InlayHintLabel::String(label) = &hint.label else { panic!("{hint:?}") };
            let line = SPEC.lines().nth(hint.position.line as usize).unwrap();
            assert_eq!(hint.position.character as usize, line.len());
            format!("{}: {label}", hint.position.line)
        })
        .collect();
    assert_eq!(
        shown,
        ["11: 8×16×16", "12: 8×16×16", "13: 8×16×16", "14: 8×8×8", "15: 10", "7: 8×16×16", "8: 8×16×16", "9: 8×16×16",]
    );
}

#[test]
fn shapes_before_an_error_stay() {
    let document = open("t.yaml", put("linear: {name", "linear: {nam"));
    let errors: Vec<String> = document.diagnostics(&uri()).into_iter().map(|d| d.message).collect();
    assert_eq!(errors, ["linear1 has no setting `nam`"]);
    assert!(document.inlay_hints(everything()).len() >= 7);
}

#[test]
fn fixes_are_quick_fixes() {
    let document = open("t.yaml", put("padding: [0, 1]", "padding: 1"));
    let diagnostics = document.diagnostics(&uri());
    let [error] = diagnostics.as_slice() else { panic!("{diagnostics:#?}") };
    assert!(error.message.contains("(32 − 3 + (1 + 1))/2 + 1 = 16.5"), "{}", error.message);
    assert_eq!(error.related_information.as_ref().unwrap()[0].location.range.start.line, 1);
    let actions = document.code_actions(&uri(), Some(3), error.range);
    let action = actions.iter().find(|a| a.title.starts_with("rounding: floor")).unwrap();
    let Some(lsp_types::DocumentChanges::Edits(changes)) = &action.edit.as_ref().unwrap().document_changes else {
        panic!("{action:#?}")
    };
    assert_eq!(changes[0].text_document.version, Some(3));
    let edits: Vec<TextEdit> = changes[0]
        .edits
        .iter()
        .map(|e| match e {
            lsp_types::OneOf::Left(edit) => edit.clone(),
            lsp_types::OneOf::Right(edit) => panic!("{edit:?}"),
        })
        .collect();
    let mended = edited(&document, &edits);
    assert!(mended.contains("padding: 1, rounding: floor}"), "{mended}");
    assert!(
        open("t.yaml", mended)
            .diagnostics(&uri())
            .iter()
            .all(|d| d.severity == Some(lsp_types::DiagnosticSeverity::WARNING))
    );
    // Elsewhere there is nothing to mend.
    let elsewhere = Range { start: Position::default(), end: Position { line: 0, character: 3 } };
    assert_eq!(document.code_actions(&uri(), None, elsewhere), []);
}

#[test]
fn warnings_can_be_allowed() {
    for (name, text, allowed) in [
        ("t.yaml", SPEC.replace("padding: [0, 1]", "rounding: floor"), "net: t\nallow: [unread-pixels]\ninput"),
        ("t.yaml", SPEC.replace("padding: [0, 1]", "rounding: floor") + "allow: missing-mean\n", ""),
        ("t.netc", DSL.replace("padding: [0, 1]", "rounding: floor"), "net t\nallow [unread-pixels]\ninput"),
    ] {
        let document = open(name, text);
        let actions = document.code_actions(&uri(), None, everything());
        let Some(action) = actions.iter().find(|a| a.title == "allow unread-pixels") else { panic!("{actions:#?}") };
        let Some(lsp_types::DocumentChanges::Edits(changes)) = &action.edit.as_ref().unwrap().document_changes else {
            panic!("{action:#?}")
        };
        let edits: Vec<TextEdit> = changes[0]
            .edits
            .iter()
            .cloned()
            .map(|e| match e {
                lsp_types::OneOf::Left(edit) => edit,
                lsp_types::OneOf::Right(edit) => edit.text_edit,
            })
            .collect();
        let text = edited(&document, &edits);
        if allowed.is_empty() {
            assert!(text.ends_with("allow: [missing-mean, unread-pixels]\n"), "{text}");
        } else {
            assert!(text.starts_with(allowed), "{text}");
            let code = lsp_types::NumberOrString::String("unread-pixels".to_string());
            assert!(open(name, text).diagnostics(&uri()).iter().all(|d| d.code.as_ref() != Some(&code)));
        }
    }
    let codes = labels(&format!("{SPEC}allow: [|]\n"));
    assert!(codes.contains(&"unread-pixels".to_string()) && !codes.contains(&"unknown-key".to_string()), "{codes:?}");
}

#[test]
fn sure_fixes_come_first_and_are_preferred() {
    let document = open("t.yaml", put("kernels: width", "filters: width"));
    let actions = document.code_actions(&uri(), None, everything());
    assert_eq!(actions[0].title, "the word is `kernels`");
    assert_eq!(actions[0].is_preferred, Some(true));
}

#[test]
fn hover_tells_of_layers_keys_words_and_parameters() {
    assert_eq!(
        hover(&put("name: stem", "name: st|em")),
        "**stem** · conv · 8×16×16\n\nheight and width: (W − F + P)/S + 1 = (32 − 3 + (0 + 1))/2 + 1 = **16**\n\n\
         weight 8×3×3×3, bias 8\n\n224 params, 55.3 k MACs per image\n\n\
         Two-dimensional convolution: each kernel slides over all channels of the image."
    );
    let block = hover(&put("- residual: {", "- resid|ual: {"));
    assert!(block.starts_with("**stage1** · residual of 6 layers · 8×16×16"), "{block}");
    assert!(hover(&put("name: first", "name: fir|st")).contains("**stage1.2.first** · conv · 8×16×16"));
    assert!(hover(&put("stride: 2", "str|ide: 2")).starts_with("**stride** · How far the window moves"));
    assert!(hover(&put("cross_entropy", "cross|_entropy")).starts_with("**cross_entropy** · Softmax"));
    assert!(hover(&put("sgd", "s|gd")).starts_with("**sgd** · Stochastic"));
    assert!(hover(&put("lr:", "l|r:")).starts_with("**lr** · Learning rate"));
    assert!(hover(&put("batch: 32", "bat|ch: 32")).contains("must be given"));
    assert_eq!(hover(&put("kernels: width", "kernels: wid|th")), "**width** · parameter · `8`");
    assert_eq!(hover(&put("kernels: channels", "kernels: channel|s")), "**channels** · parameter · must be given");
    assert!(hover(&put("[relu1, input]", "[rel|u1, input]")).contains("relu"));
    assert!(hover(&put("train:", "tr|ain:")).starts_with("**train** · How"));
}

#[test]
fn kinds_are_known_in_a_text_that_cannot_be_read() {
    let text = hover(&put("- relu\n  - residual: {", "- re|lu\n  - residual: {{{").replace("name: stage1, ", ""));
    assert!(text.contains("max(0, x)"), "{text}");
}

#[test]
fn completion_knows_what_may_stand_where() {
    let sections = labels(&put("net: t\n", "net: t\n|\n"));
    assert_eq!(sections, ["include", "classes", "init", "preprocess", "allow", "vary"]);
    let kinds = labels(&put("  - relu\n  - residual", "  - |\n  - residual"));
    assert!(kinds.contains(&"conv".to_string()) && kinds.contains(&"residual".to_string()), "{kinds:?}");
    let settings = labels(&put("stride: 2", "|"));
    assert!(settings.contains(&"dilation".to_string()) && !settings.contains(&"kernels".to_string()), "{settings:?}");
    assert_eq!(labels(&put("stride: 2", "rounding: |")), ["floor", "ceil"]);
    let used = labels(&put("channels: width, repeat: 2", "channels: width, |"));
    assert_eq!(used, ["kernel", "from", "repeat"]);
    assert_eq!(labels(&put("[relu1, input]", "[relu1, |]")), ["relu1", "first", "input"]);
    let layers = labels(&put("features: 10", "features: 10, from: |"));
    assert_eq!(layers, ["maxpool1", "stage1", "relu1", "stem", "image"]);
    assert_eq!(labels(&put("sgd: {lr: 0.1}", "sgd: {lr: 0.1, |}"))[0], "momentum");
    assert_eq!(labels(&put("{sgd: {lr: 0.1}}", "|")), ["sgd", "adam", "adamw"]);
    assert_eq!(labels(&put("kernels: channels", "kernels: |")), ["channels", "kernel", "width"]);
    assert_eq!(labels("# |"), Vec::<String>::new());
}

#[test]
fn completion_writes_what_a_kind_needs() {
    let (document, position) = marked(&put("  - relu\n  - residual", "  - con|\n  - residual"));
    for (snippets, expected) in
        [(true, "conv: {kernels: $1, kernel_size: $2}"), (false, "conv: {kernels: , kernel_size: }")]
    {
        let items = document.completion(position, snippets);
        let conv = items.into_iter().find(|item| item.label == "conv").unwrap();
        let Some(CompletionTextEdit::Edit(edit)) = conv.text_edit else { panic!("{conv:?}") };
        assert_eq!(edit.new_text, expected);
        assert_eq!((edit.range.start.character, edit.range.end.character), (4, 7));
    }
}

#[test]
fn definitions_are_found() {
    assert_eq!(definition(&put("[relu1, input]", "[rel|u1, input]")), "8: relu");
    assert_eq!(definition(&put("[relu1, input]", "[relu1, in|put]")), "4: residual");
    assert_eq!(definition(&put("- residual: {", "- residu|al: {")), "4: residual");
    assert_eq!(definition(&put("channels: width", "chan|nels: width")), "5: channels");
    assert_eq!(definition(&put("kernels: width", "kernels: wi|dth")), "2: width");
    assert_eq!(definition(&put("padding: kernel//2", "padding: ker|nel//2")), "5: kernel");
    assert_eq!(definition(&put("features: 10", "features: 10, from: st|em")), "11: stem");
    assert_eq!(definition(&put("features: 10", "features: 10, from: ima|ge")), "1: image");
}

#[test]
fn symbols_are_sections_with_their_layers() {
    let symbols = open("t.yaml", SPEC).symbols();
    let names: Vec<&str> = symbols.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["net", "input", "params", "blocks", "layers", "train"]);
    let layers = symbols[4].children.as_ref().unwrap();
    assert_eq!((layers[0].name.as_str(), layers[0].detail.as_deref()), ("stem", Some("conv 8×16×16")));
    let block = &symbols[3].children.as_ref().unwrap()[0];
    assert_eq!((block.name.as_str(), block.children.as_ref().unwrap().len()), ("residual", 3));
    fn within(symbols: &[lsp_types::DocumentSymbol]) {
        for s in symbols {
            assert!(s.range.start <= s.selection_range.start && s.selection_range.end <= s.range.end, "{s:#?}");
            for child in s.children.iter().flatten() {
                assert!(s.range.start <= child.range.start && child.range.end <= s.range.end, "{s:#?}");
            }
            within(s.children.as_deref().unwrap_or_default());
        }
    }
    within(&symbols);
}

const DSL: &str = "net t
input image [3, 32, 32]
params {width: 8}
block residual(channels, kernel: 3) {
  conv first(channels, kernel, padding: kernel//2) -> relu
  from [relu1, input] -> add
}
conv stem(width, 3, stride: 2, padding: [0, 1]) -> relu
residual stage1(width, repeat: 2)
maxpool(2)
linear fc(10)
train {
  loss: cross_entropy
  optimizer: {sgd: {lr: 0.1}}
  batch: 32
  epochs: 2
}
";

/// As [`marked`], in the netc language, with a change.
fn dsl(from: &str, to: &str) -> (Document, Position) {
    assert!(DSL.contains(from), "{from}");
    let (document, position) = marked(&DSL.replacen(from, to, 1));
    (open("t.netc", document.text), position)
}

#[test]
fn the_netc_language_has_it_all() {
    let document = open("t.netc", DSL);
    assert_eq!(document.diagnostics(&uri()), []);
    let hints: Vec<String> = document
        .inlay_hints(everything())
        .iter()
        .map(|hint| {
            let InlayHintLabel::String(label) = &hint.label else { panic!("{hint:?}") };
            let line = DSL.lines().nth(hint.position.line as usize).unwrap();
            format!("{}: {label}", &line[..hint.position.character as usize])
        })
        .collect();
    assert_eq!(
        hints,
        [
            "conv stem(width, 3, stride: 2, padding: [0, 1]) -> relu: 8×16×16",
            "residual stage1(width, repeat: 2): 8×16×16",
            "maxpool(2): 8×8×8",
            "linear fc(10): 10",
            "  conv first(channels, kernel, padding: kernel//2) -> relu: 8×16×16",
            "  from [relu1, input] -> add: 8×16×16",
        ]
    );
    let hover = |from: &str, to: &str| {
        let (document, position) = dsl(from, to);
        match document.hover(position).map(|h| h.contents) {
            Some(HoverContents::Markup(content)) => content.value,
            other => panic!("{to}: {other:?}"),
        }
    };
    assert!(hover("conv stem", "con|v stem").starts_with("**stem** · conv · 8×16×16"));
    assert!(hover("conv stem", "conv ste|m").starts_with("**stem** · conv · 8×16×16"));
    assert!(hover("residual stage1", "resi|dual stage1").starts_with("**stage1** · residual of 6 layers"));
    assert!(hover("stride", "str|ide").starts_with("**stride** · How far"));
    assert!(hover("cross_entropy", "cross_en|tropy").starts_with("**cross_entropy** · Softmax"));
    assert!(hover("train", "tra|in").starts_with("**train** · How"));
    assert_eq!(hover("stem(width", "stem(wid|th"), "**width** · parameter · `8`");
    assert_eq!(hover("kernel//2", "ker|nel//2"), "**kernel** · parameter · `3`");
    let labels = |from: &str, to: &str| -> Vec<String> {
        let (document, position) = dsl(from, to);
        document.completion(position, true).into_iter().map(|item| item.label).collect()
    };
    assert!(labels("maxpool(2)", "|").contains(&"preprocess".to_string()));
    assert!(labels("-> relu\nres", "-> |\nres").contains(&"residual".to_string()));
    assert_eq!(labels("[relu1, input]", "[relu1, |]"), ["relu1", "first", "input"]);
    assert!(!labels("stride: 2", "|").contains(&"padding".to_string()));
    assert_eq!(labels("stride: 2", "rounding: |"), ["floor", "ceil"]);
    assert_eq!(labels("{sgd: {lr: 0.1}}", "|"), ["sgd", "adam", "adamw"]);
    let definition = |from: &str, to: &str| {
        let (document, position) = dsl(from, to);
        document.definition(position).map(|target| (target.range.start.line, target.range.start.character))
    };
    assert_eq!(definition("[relu1, input]", "[re|lu1, input]"), Some((4, 54)));
    assert_eq!(definition("residual stage1", "resid|ual stage1"), Some((3, 6)));
    assert_eq!(definition("stem(width", "stem(wi|dth"), Some((2, 8)));
    assert_eq!(definition("kernel//2", "kerne|l//2"), Some((3, 25)));
    let names: Vec<String> = document.symbols().into_iter().map(|s| s.name).collect();
    assert_eq!(names[..4], ["net", "input", "params", "blocks"]);
    let messy = open("t.netc", DSL.replacen("conv stem(width, 3", "conv  stem( width,3", 1));
    let tidy = edited(&document, &document.formatting());
    assert_eq!(edited(&messy, &messy.formatting()), tidy);
    assert_eq!(open("t.netc", tidy).formatting(), []);
}

#[test]
fn formatting_leaves_what_cannot_be_read() {
    let document = open("t.yaml", put("net: t", "net:   t"));
    assert_eq!(edited(&document, &document.formatting()).lines().next(), Some("net: t"));
    assert_eq!(open("t.yaml", "layers: [conv: {").formatting(), []);
}

#[test]
fn included_files_count() {
    let text = "net: t
include: part.yaml
input: {name: image, shape: [3, 8, 8]}
layers:
  - conv: {name: stem, kernels: width, kernel_size: 1}
  - double: {name: twice, channels: width*2}
";
    let document = open("t.yaml", text);
    // What is wrong in the other file is shown where it is included, and its own place is related.
    let problems = document.diagnostics(&uri());
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!(problem.message, "in /parts/part.yaml: train has no setting `epoch`");
    assert_eq!((problem.range.start.line, problem.range.start.character), (1, 9));
    let related = &problem.related_information.as_ref().unwrap()[0].location;
    assert_eq!((related.uri.as_str(), related.range.start.line), ("file:///parts/part.yaml", 3));
    assert_eq!(document.code_actions(&uri(), None, everything()), []);
    let hints = document.inlay_hints(everything());
    assert_eq!(hints.len(), 2);
    let width = document.definition(Position { line: 4, character: 34 }).unwrap();
    assert_eq!((width.file.as_deref(), width.range.start.line), (Some("/parts/part.yaml"), 0));
    let block = document.definition(Position { line: 5, character: 6 }).unwrap();
    assert_eq!((block.file.as_deref(), block.range.start.line), (Some("/parts/part.yaml"), 2));
    let file = document.definition(Position { line: 1, character: 12 }).unwrap();
    assert_eq!((file.file.as_deref(), file.range), (Some("/parts/part.yaml"), Range::default()));
    let names: Vec<String> = document.symbols().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["net", "include", "input", "layers"]);
}

#[test]
fn blocks_within_blocks_have_shapes_too() {
    let text = "net: t
input: {name: image, shape: [3, 8, 8]}
blocks:
  unit: {params: {n: null}, layers: [conv: {kernels: n, kernel_size: 1, rounding: floor, stride: 3}, relu]}
  pair:
    params: {n: null}
    layers:
      - unit: {name: first, n: n}
      - unit: {name: second, n: n*2}
layers:
  - pair: {name: a, n: 4}
  - pair: {name: b, n: 8}
";
    let document = open("t.yaml", text);
    let hints = document.inlay_hints(everything());
    let shown = |hint: &lsp_types::InlayHint| match &hint.label {
        InlayHintLabel::String(label) => format!("{}: {label}", hint.position.line),
        InlayHintLabel::LabelParts(parts) => panic!("{parts:?}"),
    };
    let labels: Vec<String> = hints.iter().map(shown).collect();
    assert!(labels.contains(&"7: 4×3×3 … 8×1×1".to_string()), "{labels:?}");
    assert!(labels.contains(&"8: 8×1×1 … 16×1×1".to_string()), "{labels:?}");
    // What is wrong in each use is underlined once.
    let problems = document.diagnostics(&uri());
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert!(problem.message.starts_with("a.first.conv1 leaves pixels out"), "{}", problem.message);
}

#[test]
fn parts_need_not_have_everything() {
    let problems = open("part.yaml", PART).diagnostics(&uri());
    assert_eq!(problems.iter().map(|d| d.message.as_str()).collect::<Vec<_>>(), ["train has no setting `epoch`"]);
}

/// Specs with characters taken out, doubled and exchanged at random.
#[test]
fn damaged_texts_have_answers() {
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..400 {
        let (name, text) = if round % 2 == 0 { ("t.yaml", SPEC) } else { ("t.netc", DSL) };
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..=random(4) {
            let (at, other) = (random(characters.len()), random(characters.len()));
            match random(4) {
                0 => drop(characters.remove(at)),
                1 => characters.insert(at, characters[other]),
                2 => characters.swap(at, other),
                _ => characters.insert(at, ['{', '}', '[', ')', '\n', '"', '😀', '\t'][other % 8]),
            }
        }
        let document = open(name, characters.into_iter().collect::<String>());
        for _ in 0..20 {
            let position = Position { line: random(20) as u32, character: random(60) as u32 };
            document.hover(position);
            document.completion(position, false);
            document.definition(position);
        }
        document.symbols();
        document.inlay_hints(everything());
        document.code_actions(&uri(), None, everything());
        document.formatting();
    }
}

/// Every prefix of a spec, as while it is typed, and every place in some of them.
#[test]
fn there_is_an_answer_to_everything() {
    for (name, text) in [("t.yaml", put("net: t", "net: t # ÷×ä 😀")), ("t.netc", format!("# ÷×ä 😀\n{DSL}"))]
    {
        for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
            let document = open(name, &text[..end]);
            let last = text[..end].rsplit('\n').next().unwrap().encode_utf16().count() as u32;
            let line = text[..end].matches('\n').count() as u32;
            for character in [0, last / 2, last, last + 5] {
                let position = Position { line, character };
                document.hover(position);
                document.completion(position, true);
                document.definition(position);
            }
            document.symbols();
            document.inlay_hints(everything());
            document.code_actions(&uri(), None, everything());
        }
    }
}
