//! The pages about codes: their wrong examples show the code, their mended ones are right.

use netc::diag::{Code, Severity};
use netc::driver::report;

/// Codes of what is not in a spec's text.
const WITHOUT_EXAMPLE: [Code; 2] = [Code::UnreadableFile, Code::NotUtf8];

#[test]
fn examples_show_what_their_pages_say() {
    let wrong: Vec<String> = Code::ALL.iter().flat_map(|&code| judge(code)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a code's page.
fn judge(code: Code) -> Vec<String> {
    let page = code.page();
    let mut wrong = Vec::new();
    if !(10..62).contains(&page.title.len()) || page.title.ends_with('.') {
        wrong.push(format!("{code}'s title is {:?}", page.title));
    }
    if page.paragraphs.iter().map(String::len).sum::<usize>() < 90 {
        wrong.push(format!("{code} says little"));
    }
    let (Some(bad), Some(mended)) = (&page.wrong, &page.mended) else {
        if !WITHOUT_EXAMPLE.contains(&code) {
            wrong.push(format!("{code} has no example"));
        }
        return wrong;
    };
    let (told, _) = report(code, bad);
    if !told.diagnostics.iter().any(|d| d.code == code) || told.diagnostics.iter().any(|d| d.code != code) {
        wrong.push(format!("{code}'s example should show it alone, but gets\n{}", told.render(false)));
    }
    let (told, refused) = report(code, mended);
    if refused || told.diagnostics.iter().any(|d| d.code == code || d.severity == Severity::Error) {
        wrong.push(format!("{code}'s mended example gets\n{}", told.render(false)));
    }
    wrong
}

/// No page is left of a code that is gone.
#[test]
fn every_page_has_a_code() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/diag/pages");
    for entry in std::fs::read_dir(folder).expect("the pages") {
        let name = entry.expect("a page").file_name().into_string().expect("a name");
        let code = name.strip_suffix(".md").expect("a page in Markdown");
        assert!(Code::named(code).is_some(), "{name} is no code's page");
    }
}
