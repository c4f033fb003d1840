//! The two syntaxes say the same: twins give the same network, formatting keeps meaning and comments and is idempotent.

use netc::check;
use netc::diag::Code;
use netc::source::Sources;
use netc::spec::{self, Syntax};
use netc_runtime::random::Stream;
use std::fmt::Write;

fn format(name: &str, text: &str, to: Option<Syntax>) -> String {
    let mut sources = Sources::new();
    spec::format(&mut sources, name, text, to).unwrap_or_else(|problems| {
        panic!("{text}\n{}", netc::diag::render(&problems, &sources, netc::diag::Style::Plain))
    })
}

fn tree(name: &str, text: &str) -> String {
    spec::print(&spec::parse(&mut Sources::new(), name, text))
}

fn specs(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for path in std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if path.extension().is_some_and(|e| e == extension) {
            let text = std::fs::read_to_string(&path).expect("the spec is there");
            found.push((path.to_string_lossy().into_owned(), text));
        }
    }
    found.sort();
    found
}

#[test]
fn twins_give_the_same_network() {
    let (yaml, dsl) = (specs("specs", "yaml"), specs("specs", "netc"));
    assert!(yaml.len() > 10);
    assert_eq!(yaml.len(), dsl.len(), "every spec is there in both syntaxes");
    for ((yaml_name, yaml), (dsl_name, dsl)) in yaml.iter().zip(&dsl) {
        assert_eq!(yaml_name.trim_end_matches("yaml"), dsl_name.trim_end_matches("netc"));
        assert_eq!(tree(yaml_name, yaml), tree(dsl_name, dsl), "{yaml_name}");
        let network = |name: &str| {
            let spec = netc::driver::read(name.as_ref(), &[]).expect("the spec is there").spec;
            check::print(&check::check(&spec).unwrap_or_else(|problems| panic!("{name}: {problems:#?}")).0)
        };
        assert_eq!(network(yaml_name), network(dsl_name), "{yaml_name}");
    }
}

#[test]
fn specs_are_in_canonical_form_and_convert_both_ways() {
    let all = [("specs", "yaml"), ("specs", "netc"), ("specs/parts", "yaml")];
    for (name, text) in all.into_iter().flat_map(|(folder, extension)| specs(folder, extension)) {
        assert_eq!(format(&name, &text, None), text, "{name}");
        let (there, back) = match Syntax::of(&name, &text) {
            Syntax::Yaml => (Syntax::Dsl, "yaml"),
            Syntax::Dsl => (Syntax::Yaml, "netc"),
        };
        let other = format(&name, &text, Some(there));
        let name = if back == "yaml" { "x.netc" } else { "x.yaml" };
        let back = format(name, &other, Some(if back == "yaml" { Syntax::Yaml } else { Syntax::Dsl }));
        assert_eq!(back, text, "{other}");
    }
}

#[test]
fn comments_stay_where_they_belong() {
    let yaml = "\
# first
net: t   #   the name
input: {shape: [3,   8, 8]}

#before params
params:
  # the width
  width: 4   # in channels

  depth: 0x2
blocks:
  # a block
  b:
    params: {c: null}  # needed
    layers:
      # inside
      - conv: {kernels: c, name: one, from: input, # odd
          kernel_size: 3}
      - relu # after
layers:  # all of them
  # the stem
  - conv:
      kernels: width*2
      kernel_size: 1.0e0
  - b: {c: 'a'}

  - relu  # last
# end
train: {loss: mse}
# the very end
";
    insta::assert_snapshot!("yaml", format("t.yaml", yaml, None));
    let dsl = format("t.yaml", yaml, Some(Syntax::Dsl));
    insta::assert_snapshot!("dsl", dsl);
    let again = format("t.netc", &dsl, None);
    assert_eq!(again, dsl);
    let back = format("t.netc", &dsl, Some(Syntax::Yaml));
    assert_eq!(format("t.yaml", &back, Some(Syntax::Dsl)), dsl);
    let comments = |text: &str| text.matches('#').count();
    assert_eq!((comments(yaml), comments(&dsl), comments(&back)), (15, 15, 15));
}

#[test]
fn long_lines_are_broken() {
    let names: Vec<String> = (0..60).map(|i| format!("class number {i}")).collect();
    let text = format!(
        "net: t\ninput: {{shape: [3, 8, 8]}}\nclasses: [{}]\nlayers:\n  - conv: {{name: {}, kernels: 4, kernel_size: 3, \
         init: {{weight: {{normal: {{mean: 0.0001, std: 0.0002}}}}, bias: {{uniform: {{low: 0.25, high: 0.5}}}}}}}}\n",
        names.join(", "),
        "c".repeat(60)
    );
    for to in [Syntax::Yaml, Syntax::Dsl] {
        let out = format("t.yaml", &text, Some(to));
        assert!(out.lines().all(|line| line.chars().count() <= 120), "{out}");
        let name = if to == Syntax::Yaml { "t.yaml" } else { "t.netc" };
        assert_eq!(format(name, &out, None), out);
    }
}

#[test]
fn a_text_that_cannot_be_read_is_refused() {
    for (name, text, code) in [
        ("t.yaml", "net: [", Code::InvalidYaml),
        ("t.netc", "net a\nconv(1", Code::InvalidSyntax),
        ("t.yaml", "net: a\nnet: b\n", Code::DuplicateKey),
        ("t.yaml", "", Code::EmptySpec),
    ] {
        let problems = spec::format(&mut Sources::new(), name, text, None).expect_err("refused");
        assert_eq!(problems[0].code, code, "{text}");
    }
}

#[test]
fn the_syntax_is_that_of_the_name_or_the_look() {
    for (name, text, syntax) in [
        ("a.yaml", "net a", Syntax::Yaml),
        ("a.netc", "net: a", Syntax::Dsl),
        ("-", "# x\n\nnet: a", Syntax::Yaml),
        ("-", "# x\n\nnet a\n", Syntax::Dsl),
        ("-", "relu -> tanh", Syntax::Dsl),
        ("-", "- relu", Syntax::Yaml),
        ("-", "---\nnet: a", Syntax::Yaml),
        ("-", "", Syntax::Yaml),
    ] {
        assert_eq!(Syntax::of(name, text), syntax, "{name} {text}");
    }
}

/// Writes random specs in YAML as people might: any layout, comments, quotes, blocks, branches, expressions.
struct Author {
    random: Stream,
    out: String,
}

impl Author {
    fn below(&mut self, n: u32) -> usize {
        self.random.below(n) as usize
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.below(one_in) == 0
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len() as u32)]
    }

    fn comment(&mut self, indent: usize) {
        if self.chance(8) {
            self.out.push('\n');
        }
        if self.chance(6) {
            let words = self.pick(&["# a comment", "#tight", "#  wide: {x", "# ÷ → ä", "##"]);
            let _ = writeln!(self.out, "{:indent$}{words}", "");
        }
    }

    fn end(&mut self) {
        if self.chance(8) {
            let words = self.pick(&["  # trailing", " #t", "   # [ a, b"]);
            self.out.push_str(words);
        }
        self.out.push('\n');
    }

    fn scalar(&mut self) -> String {
        let fixed = [
            "1",
            "0",
            "-3",
            "0x1F",
            "1.0e-4",
            "5e3",
            "0.50",
            "true",
            "false",
            "null",
            "same",
            "width",
            "width*2",
            "(depth + 1)//2",
            "width - 1",
            "'it''s'",
            "\"a b\"",
            "\"12\"",
            "a b",
            "T-shirt/top",
            "\"#5\"",
            "'[x]'",
            ".inf",
            "-.inf",
            "kaiming_normal",
            "\"\"",
            "1.2.3",
            "ä",
            "\"tab\\t\"",
            "x->y",
            "a.b",
            "on",
            "~",
            "3x",
            "\"-> x\"",
            "1:2",
            "+7",
            "1e400",
        ];
        self.pick(&fixed).to_string()
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth > 2 { 4 } else { 7 }) {
            0..=3 => self.scalar(),
            4 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", items.join(", "))
            }
            _ => {
                let items: Vec<String> =
                    (0..self.below(4)).map(|i| format!("{}{i}: {}", self.key(), self.value(depth + 1))).collect();
                format!("{{{}}}", items.join(", "))
            }
        }
    }

    fn key(&mut self) -> &'static str {
        let keys: [&'static str; 8] = ["stride", "padding", "p", "init", "weight", "a.b", "k_", "x"];
        keys[self.below(8)]
    }

    fn layer(&mut self, indent: usize, index: usize, kinds: &[&str]) {
        self.comment(indent);
        let kind = self.pick(kinds);
        let mut settings: Vec<String> = Vec::new();
        if self.chance(2) {
            settings.push(format!("name: {kind}_{index}"));
        }
        let positional: &[&str] = match kind {
            "conv" => &["kernels", "kernel_size"],
            "linear" => &["features"],
            "maxpool" => &["kernel_size", "stride"],
            "residual" => &["channels", "kernel"],
            _ => &[],
        };
        for &key in positional {
            if !self.chance(5) {
                settings.push(format!("{key}: {}", self.value(1)));
            }
        }
        if self.chance(3) {
            settings.push(format!("z{index}: {}", self.value(1)));
        }
        if self.chance(4) {
            let from = self.pick(&["image", "[image, conv_1]", "conv_0", "stage.1.x"]);
            settings.push(format!("from: {from}"));
        }
        if settings.len() > 1 && self.chance(3) {
            let last = settings.len() - 1;
            settings.swap(0, last);
        }
        let _ = write!(self.out, "{:indent$}- {kind}", "");
        if settings.is_empty() {
            if self.chance(4) {
                self.out.push_str(": {}");
            }
        } else if self.chance(3) {
            self.out.push(':');
            for setting in &settings {
                let _ = write!(self.out, "\n{:1$}{setting}", "", indent + 4);
            }
        } else {
            let _ = write!(self.out, ": {{{}}}", settings.join(", "));
        }
        self.end();
    }

    fn spec(&mut self) {
        const KINDS: &[&str] =
            &["conv", "linear", "relu", "maxpool", "add", "concat", "residual", "made-up", "flatten"];
        self.comment(0);
        let net = self.pick(&["t", "my-net", "\"a net\"", "x_1"]);
        let _ = write!(self.out, "net: {net}");
        self.end();
        let input = self.pick(&[
            "{name: image, shape: [3, 8, 8]}",
            "{shape: [4]}",
            "{shape: [1, width, width], name: x}",
            "{}",
        ]);
        let _ = write!(self.out, "input: {input}");
        self.end();
        for section in ["classes", "params", "init", "blocks"] {
            if self.chance(2) {
                continue;
            }
            self.comment(0);
            match section {
                "classes" => {
                    let items: Vec<String> = (0..self.below(20)).map(|_| self.scalar()).collect();
                    let _ = write!(self.out, "classes: [{}]", items.join(", "));
                    self.end();
                }
                "blocks" => {
                    self.out.push_str("blocks:\n  residual:\n");
                    if self.chance(2) {
                        let kernel = self.value(2);
                        let _ = writeln!(self.out, "    params: {{channels: null, kernel: {kernel}}}");
                    }
                    self.out.push_str("    layers:\n");
                    for i in 0..1 + self.below(3) {
                        self.layer(6, i, KINDS);
                    }
                }
                section => self.section(section),
            }
        }
        self.comment(0);
        self.out.push_str("layers:");
        self.end();
        for i in 0..1 + self.below(8) {
            self.layer(2, i, KINDS);
        }
        for section in ["train", "preprocess"] {
            if self.chance(2) {
                self.comment(0);
                self.section(section);
            }
        }
        self.comment(0);
    }

    fn section(&mut self, section: &str) {
        let entries: Vec<String> =
            (0..1 + self.below(4)).map(|i| format!("{}{i}: {}", self.key(), self.value(0))).collect();
        if self.chance(3) {
            let _ = write!(self.out, "{section}: {{{}}}", entries.join(", "));
            return self.end();
        }
        let _ = write!(self.out, "{section}:");
        self.end();
        for entry in entries {
            self.comment(2);
            let _ = write!(self.out, "  {entry}");
            self.end();
        }
    }
}

#[test]
fn random_specs_convert_both_ways_and_lose_nothing() {
    convert_both_ways(0..5_000);
}

#[test]
fn more_random_specs_convert_both_ways_and_lose_nothing() {
    convert_both_ways(5_000..10_000);
}

fn convert_both_ways(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut author = Author { random: Stream::new(seed, [1, 2, 3]), out: String::new() };
        author.spec();
        let text = author.out;
        assert_eq!(spec::parse(&mut Sources::new(), "t.yaml", &text).problems, [], "{text}");
        let comments = |text: &str| {
            let lines = text.lines().filter(|l| l.contains("# ") || l.contains("#t") || l.contains("##"));
            lines.count() + text.matches("#5").count()
        };
        let canonical = format("t.yaml", &text, None);
        assert_eq!(tree("t.yaml", &canonical), tree("t.yaml", &text), "{text}");
        let dsl = format("t.yaml", &text, Some(Syntax::Dsl));
        assert_eq!(tree("t.netc", &dsl), tree("t.yaml", &text), "{text}");
        assert_eq!(format("t.yaml", &canonical, None), canonical, "{text}");
        assert_eq!(format("t.netc", &dsl, None), dsl, "{text}");
        let back = format("t.netc", &dsl, Some(Syntax::Yaml));
        assert_eq!(tree("t.yaml", &back), tree("t.yaml", &text), "{dsl}");
        assert_eq!(format("t.yaml", &back, Some(Syntax::Dsl)), dsl, "{back}");
        assert_eq!(comments(&canonical), comments(&back), "{text}\n{canonical}\n{back}");
    }
}
