//! What is offered where shapes do not fit: numbers of good specs are changed, and the fixes are to find them again.

use netc::check::{self, Network};
use netc::diag::{self, Code, Diagnostic, Severity};
use netc::source::Sources;
use netc::spec::{self, Data, Map, Value};
use netc_runtime::random::Stream;
use std::path::{Path, PathBuf};

struct Good {
    path: PathBuf,
    text: String,
    shapes: String,
    /// Where numbers stand, with the keys that they belong to.
    numbers: Vec<(usize, usize, String, i64)>,
}

fn read(path: &Path, text: &str) -> spec::Spec {
    let mut sources = Sources::new();
    let mut spec = spec::parse(&mut sources, &path.to_string_lossy(), text);
    spec::include(&mut spec, &mut sources, &mut |name, from| {
        let path = Path::new(from).parent().expect("a folder").join(name);
        Ok((path.to_string_lossy().into_owned(), std::fs::read(path).map_err(|e| e.to_string())?))
    });
    spec
}

fn shapes(network: &Network) -> String {
    network.layers().map(|(_, layer)| format!("{:?} {:?}\n", layer.kind.word(), layer.shape)).collect()
}

fn good() -> Vec<Good> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml" || e == "netc"));
    paths.sort();
    let specs = paths.into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).expect("a spec");
        let spec = read(&path, &text);
        let (network, _) = check::check(&spec).expect("a good spec");
        let mut numbers = Vec::new();
        let layers = spec.layers.iter().flat_map(|layer| &layer.settings.entries);
        let sections =
            spec.sections.entries.iter().filter(|s| matches!(s.key.text.as_str(), "input" | "blocks" | "params"));
        for setting in layers.chain(sections) {
            collect(&setting.key.text, &setting.value, &mut numbers);
        }
        numbers.retain(|(_, end, key, _)| {
            *end <= text.len() && !matches!(key.as_str(), "bias" | "p" | "alpha" | "beta" | "k" | "size" | "std")
        });
        Good { path, shapes: shapes(&network), numbers, text }
    });
    specs.collect()
}

fn collect(key: &str, value: &Value, numbers: &mut Vec<(usize, usize, String, i64)>) {
    match &value.data {
        Data::Integer(n) => numbers.push((value.span.start as usize, value.span.end as usize, key.to_string(), *n)),
        Data::List(items) => items.iter().for_each(|item| collect(key, item, numbers)),
        Data::Map(Map { entries, .. }) if !matches!(key, "init" | "lr_mult" | "decay_mult") => {
            entries.iter().for_each(|s| collect(&s.key.text, &s.value, numbers));
        }
        _ => {}
    }
}

fn of_shapes(problem: &Diagnostic) -> bool {
    let codes = [
        Code::InexactSize,
        Code::WindowTooLarge,
        Code::PaddingTooLarge,
        Code::ShapeMismatch,
        Code::GroupMismatch,
        Code::WrongRank,
        Code::ClassCount,
        Code::LossMismatch,
        Code::PreprocessSize,
    ];
    problem.severity == Severity::Error && codes.contains(&problem.code)
}

#[test]
fn fixes_find_the_number_that_was_changed() {
    let specs = good();
    let mut random = Stream::new(2026, [7, 0, 0]);
    let (mut broken, mut repaired, mut offered) = (0, 0, 0);
    let mut misses = Vec::new();
    while broken < 300 {
        let good = &specs[random.below(specs.len() as u32) as usize];
        let (start, end, key, n) = &good.numbers[random.below(good.numbers.len() as u32) as usize];
        let other = match random.below(6) {
            0 => n + 1,
            1 => n - 1,
            2 => n * 2,
            3 => n / 2,
            4 => n * 10,
            _ => n + 2,
        };
        if other < 0 || other == *n {
            continue;
        }
        let text = format!("{}{other}{}", &good.text[..*start], &good.text[*end..]);
        let Err(problems) = check::check(&read(&good.path, &text)) else { continue };
        if !problems.iter().any(of_shapes) {
            continue;
        }
        broken += 1;
        let mut found = false;
        for problem in problems.iter().filter(|p| of_shapes(p)) {
            assert!(problem.fixes.len() <= 4, "{problem:?}");
            for fix in &problem.fixes {
                offered += 1;
                let Some(fixed) = diag::apply(&text, fix) else { continue };
                match check::check(&read(&good.path, &fixed)) {
                    Ok((network, _)) => found |= shapes(&network) == good.shapes,
                    Err(left) => {
                        let same = |p: &&Diagnostic| p.code == problem.code && p.message == problem.message;
                        let fewer = left.iter().filter(same).count() < problems.iter().filter(same).count();
                        assert!(fewer, "{}: {} does not mend {problem:?}\n{fixed}", good.path.display(), fix.title);
                    }
                }
            }
        }
        if found {
            repaired += 1;
        } else {
            let first = problems.iter().find(|p| of_shapes(p)).expect("an error");
            let titles: Vec<&str> = first.fixes.iter().map(|f| f.title.as_str()).collect();
            let name = good.path.file_name().expect("a name").to_string_lossy();
            misses.push(format!("{name}: {key} {n} -> {other}: {}: {}: {titles:?}", first.code, first.message));
        }
    }
    assert!(repaired * 100 >= broken * 80, "{repaired} of {broken}, {offered} fixes offered\n{}", misses.join("\n"));
}
