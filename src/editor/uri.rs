//! Names of files as editors give them: `file:///folder/a%20spec.yaml`.

use lsp_types::Uri;

/// The path that a URI of a file means; nothing for another URI.
pub fn path(uri: &Uri) -> Option<String> {
    let encoded = uri.as_str().strip_prefix("file://")?;
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok().filter(|path| path.starts_with('/'))
}

/// The URI of a file with an absolute path.
pub fn of_path(path: &str) -> Option<Uri> {
    if !path.starts_with('/') {
        return None;
    }
    let mut out = String::from("file://");
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive() {
        for name in ["/a/b c.yaml", "/ä/100%.netc", "/x#y?z", "/"] {
            assert_eq!(path(&of_path(name).expect("a URI")).as_deref(), Some(name));
        }
        assert_eq!(path(&"untitled:Untitled-1".parse().expect("a URI")), None);
    }
}
