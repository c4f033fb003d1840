//! The pages about codes: `pages/CODE.md`, each with a spec that shows the code and a mended one.

use super::Code;

/// What is to be known about a [`Code`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// What it means, why it matters and how to mend it: paragraphs, each on one line.
    pub paragraphs: Vec<String>,
    /// A spec that shows it; none where it is not a spec's text that is wrong.
    pub wrong: Option<Example>,
    /// The same spec mended.
    pub mended: Option<Example>,
}

/// A small spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// How it is written, as the end of a file's name: `yaml` or `netc`.
    pub extension: &'static str,
    /// Arguments of `--set`.
    pub sets: Vec<&'static str>,
    /// The text.
    pub text: &'static str,
}

impl Code {
    /// Its page.
    pub fn page(self) -> Page {
        parse(self.markdown())
    }

    /// The code that users know by this name.
    pub fn named(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

/// Reads a page: a title, paragraphs, and the sections `Wrong` and `Mended` with a fenced spec each.
fn parse(markdown: &'static str) -> Page {
    let mut parts = markdown.split("\n## ");
    let head = parts.next().unwrap_or_default();
    let (title, text) = head.split_once('\n').unwrap_or((head, ""));
    let mut page = Page {
        title: title.trim_start_matches("# "),
        paragraphs: text.trim().split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect(),
        wrong: None,
        mended: None,
    };
    for part in parts {
        match part.split_once('\n') {
            Some(("Wrong", text)) => page.wrong = example(text),
            Some(("Mended", text)) => page.mended = example(text),
            _ => {}
        }
    }
    page
}

/// A spec between fences; the first says how it is written and with which arguments it is checked.
fn example(text: &'static str) -> Option<Example> {
    let (head, rest) = text.trim_start().strip_prefix("```")?.split_once('\n')?;
    let text = &rest[..rest.rfind("```")?];
    let mut words = head.split(' ');
    let extension = words.next()?;
    Some(Example { extension, sets: words.filter(|&word| word != "--set").collect(), text })
}
