//! The entries of the fuzz targets, with damaged specs from a fixed seed: nothing panics.

#[path = "../fuzz/entry.rs"]
mod entry;

use netc_runtime::random::Stream;

/// Texts for each entry.
const ROUNDS: usize = 600;

#[test]
fn entries_take_anything() {
    let seeds = seeds();
    let mut random = Stream::new(2012, [2, 0, 0]);
    for (number, entry) in [entry::yaml, entry::dsl, entry::check, entry::set].into_iter().enumerate() {
        entry(&[]);
        for round in 0..ROUNDS {
            let mut bytes = seeds[(round * 7 + number) % seeds.len()].clone();
            for _ in 0..=random.below(4) {
                damage(&mut bytes, &seeds, &mut random);
            }
            entry(&bytes);
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    for folder in ["specs", "tests/ui"] {
        let entries = std::fs::read_dir(folder).expect("a folder of specs");
        paths.extend(entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()));
    }
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("a spec")).collect();
    seeds.retain(|seed| !seed.is_empty() && seed.len() < 4000);
    seeds
}

/// One change of a fuzzer's: bytes changed, cut out, doubled, or taken from another text.
fn damage(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Stream) {
    let mut place = |length: usize| random.below(length.max(1) as u32) as usize;
    let at = place(bytes.len());
    let end = (at + place(60)).min(bytes.len());
    match place(5) {
        0 if at < bytes.len() => bytes[at] = place(256) as u8,
        1 => drop(bytes.drain(at..end)),
        2 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        3 => {
            let other = &seeds[place(seeds.len())];
            let from = place(other.len());
            let piece = other[from..(from + place(60)).min(other.len())].to_vec();
            bytes.splice(at..end, piece);
        }
        _ => {
            let signs = b"{}[]()<>:,-'\"#&*!|%@\n\t \\0~=+/.";
            let sign = signs[place(signs.len())];
            bytes.splice(at..at, std::iter::repeat_n(sign, 1 + place(3)));
        }
    }
}
