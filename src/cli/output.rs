//! Standard output for results, standard error for everything else.

use crate::driver::Failure;
use std::io::{IsTerminal, Write};

/// Standard output. A reader that has gone away (`netc … | head`) is no error: what it would have read is dropped, and
/// the command finishes its work.
#[derive(Default)]
pub struct Output {
    closed: bool,
}

impl Output {
    /// Writes `text` as it is.
    pub fn write(&mut self, text: &str) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(e) => Err(unwritten(&e)),
        }
    }

    /// Writes `text` and ends the line.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.write(&format!("{text}\n"))
    }

    /// Writes a JSON value on one line.
    pub fn json(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        self.line(&value.to_string())
    }
}

/// Flushes what was written to standard output directly, and judges how that went as [`Output`] does.
pub fn finished(written: std::io::Result<()>) -> Result<(), Failure> {
    match written.and_then(|()| std::io::stdout().flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(unwritten(&e)),
        _ => Ok(()),
    }
}

fn unwritten(e: &std::io::Error) -> Failure {
    Failure::Environment(format!("cannot write to standard output: {e}"))
}

/// Writes to standard error; nobody can be told if that fails.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether diagnostics are coloured: only for a person who has not said no (<https://no-color.org>).
pub fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Columns that tables keep to: the terminal's, or the usual 80 where there is none.
pub fn width() -> usize {
    let size = if std::io::stdout().is_terminal() { console::Term::stdout().size_checked() } else { None };
    size.map_or(80, |(_, columns)| usize::from(columns).max(40))
}

/// Seconds with a unit that suits them: `12.3 µs`, `4.56 ms`, `1.234 s`, `3 min 05 s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.1} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else if seconds < 60.0 {
        format!("{seconds:.2} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// A count with its noun: `1 thread`, `2 threads`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Bytes with a unit that suits them: `512 bytes`, `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["KiB", "MiB", "GiB", "TiB"] {
        value /= 1024.0;
        if value < 1024.0 {
            return if count < 1024 { format!("{count} bytes") } else { format!("{value:.1} {unit}") };
        }
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(duration(1.25e-5), "12.5 µs");
        assert_eq!(duration(0.25), "250.00 ms");
        assert_eq!(duration(59.5), "59.50 s");
        assert_eq!(duration(185.2), "3 min 05 s");
        assert_eq!(counted(1, "thread"), "1 thread");
        assert_eq!(counted(2, "thread"), "2 threads");
        assert_eq!(bytes(12), "12 bytes");
        assert_eq!(bytes(3 * 1024 * 1024 / 2), "1.5 MiB");
    }
}
