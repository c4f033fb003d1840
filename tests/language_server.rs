//! `netc lsp`, driven over standard input and output as an editor drives it.

#![allow(clippy::unwrap_used, reason = "a test whose server does not answer must fail")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running server.
struct Session {
    server: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    requests: i64,
}

impl Session {
    fn start() -> Session {
        let mut server = Command::new(env!("CARGO_BIN_EXE_netc"))
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (server.stdin.take(), BufReader::new(server.stdout.take().unwrap()));
        Session { server, input, output, requests: 0 }
    }

    /// A session that has said hello.
    fn begun() -> Session {
        let mut session = Session::start();
        let item = json!({ "snippetSupport": true });
        let capabilities = json!({ "textDocument": { "completion": { "completionItem": item } } });
        let answer =
            session.ask("initialize", json!({ "processId": null, "rootUri": null, "capabilities": capabilities }));
        assert_eq!(answer["serverInfo"]["name"], "netc");
        session.tell("initialized", json!({}));
        session
    }

    fn raw(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes()).unwrap();
        input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.raw(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// The next message of the server's.
    fn hear(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server has ended");
            if line == "\r\n" {
                break;
            }
            if let Some(number) = line.strip_prefix("Content-Length: ") {
                length = number.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let id = self.requests;
        self.raw(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        let answer = self.hear();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.request(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Opens a text; what is wrong with it.
    fn open(&mut self, uri: &str, language: &str, text: &str) -> Value {
        let document = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
        self.diagnostics(uri, 1)
    }

    fn change(&mut self, uri: &str, version: i64, text: &str) -> Value {
        let document = json!({ "uri": uri, "version": version });
        self.tell("textDocument/didChange", json!({ "textDocument": document, "contentChanges": [{ "text": text }] }));
        self.diagnostics(uri, version)
    }

    fn diagnostics(&mut self, uri: &str, version: i64) -> Value {
        let message = self.hear();
        assert_eq!(message["method"], "textDocument/publishDiagnostics", "{message}");
        assert_eq!((&message["params"]["uri"], &message["params"]["version"]), (&json!(uri), &json!(version)));
        message["params"]["diagnostics"].clone()
    }

    fn end(mut self) {
        assert_eq!(self.ask("shutdown", Value::Null), Value::Null);
        self.tell("exit", Value::Null);
        assert!(self.server.wait().unwrap().success());
    }
}

fn at(line: usize, character: usize) -> Value {
    json!({ "line": line, "character": character })
}

fn place(uri: &str, line: usize, character: usize) -> Value {
    json!({ "textDocument": { "uri": uri }, "position": at(line, character) })
}

/// The text with the edits of one document change.
fn edited(text: &str, edits: &Value) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let byte = |position: &Value| {
        let (line, column) = (position["line"].as_u64().unwrap() as usize, position["character"].as_u64().unwrap());
        let units: Vec<u16> = lines[line].encode_utf16().collect();
        let before: usize = lines[..line].iter().map(|l| l.len() + 1).sum();
        before + String::from_utf16(&units[..column as usize]).unwrap().len()
    };
    let mut edits: Vec<(usize, usize, &str)> = edits
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (byte(&e["range"]["start"]), byte(&e["range"]["end"]), e["newText"].as_str().unwrap()))
        .collect();
    edits.sort();
    let mut out = text.to_string();
    for (start, end, new) in edits.into_iter().rev() {
        out.replace_range(start..end, new);
    }
    out
}

const URI: &str = "file:///home/user/t.yaml";

const GOOD: &str = "net: t  # ÷×ä 😀
input: {name: image, shape: [3, 224, 224]}
layers:
  - conv: {name: conv1, kernels: 96, kernel_size: 11, stride: 4, padding: [1, 2]}
  - relu
  - maxpool: {kernel_size: 3, stride: 2}
  - linear: {name: fc, features: 10}
";

#[test]
fn a_session_in_yaml() {
    let mut session = Session::begun();
    assert_eq!(session.open(URI, "yaml", GOOD), json!([]));

    // A wrong padding: the arithmetic, where the size comes from, and a fix that mends it.
    let wrong = GOOD.replace("padding: [1, 2]", "padding: 1");
    let problems = session.change(URI, 2, &wrong);
    let [problem] = problems.as_array().unwrap().as_slice() else { panic!("{problems:#}") };
    assert_eq!(problem["code"], "inexact-size");
    assert!(problem["message"].as_str().unwrap().contains("(224 − 11 + (1 + 1))/4 + 1 = 54.75"), "{problem:#}");
    assert_eq!(problem["relatedInformation"][0]["location"]["range"]["start"]["line"], 1);
    let context = json!({ "diagnostics": [problem] });
    let asked = json!({ "textDocument": { "uri": URI }, "range": problem["range"], "context": context });
    let actions = session.ask("textDocument/codeAction", asked);
    let action = &actions.as_array().unwrap().iter().find(|a| a["title"].as_str().unwrap().contains("[1, 2]")).unwrap();
    assert_eq!(action["kind"], "quickfix");
    let mended = edited(&wrong, &action["edit"]["documentChanges"][0]["edits"]);
    assert_eq!(mended, GOOD);
    assert_eq!(session.change(URI, 3, &mended), json!([]));

    let hover = session.ask("textDocument/hover", place(URI, 3, 6));
    assert!(hover["contents"]["value"].as_str().unwrap().contains("34,944 params, 105.4 M MACs"), "{hover:#}");

    let range = json!({ "start": at(0, 0), "end": at(99, 0) });
    let hints = session.ask("textDocument/inlayHint", json!({ "textDocument": { "uri": URI }, "range": range }));
    let labels: Vec<&str> = hints.as_array().unwrap().iter().map(|h| h["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["96×55×55", "96×55×55", "96×27×27", "10"]);

    let half = GOOD.replace("stride: 2}", "stride: 2, }");
    session.change(URI, 4, &half);
    let column = half.lines().nth(5).unwrap().find(", }").unwrap() + 2;
    let items = session.ask("textDocument/completion", place(URI, 5, column));
    let labels: Vec<&str> = items.as_array().unwrap().iter().map(|i| i["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["padding", "rounding", "name", "from"]);
    assert_eq!(items[1]["textEdit"]["newText"], "rounding: $1");

    let from = GOOD.replace("features: 10", "features: 10, from: conv1");
    session.change(URI, 5, &from);
    let column = from.lines().nth(6).unwrap().find("conv1").unwrap() + 1;
    let found = session.ask("textDocument/definition", place(URI, 6, column));
    assert_eq!(found["range"]["start"], at(3, 17));

    let symbols = session.ask("textDocument/documentSymbol", json!({ "textDocument": { "uri": URI } }));
    assert_eq!(symbols[2]["children"][0]["detail"], "conv 96×55×55");

    let untidy = GOOD.replace("- relu", "-   relu");
    session.change(URI, 6, &untidy);
    let options = json!({ "tabSize": 2, "insertSpaces": true });
    let edits = session.ask("textDocument/formatting", json!({ "textDocument": { "uri": URI }, "options": options }));
    assert_eq!(edited(&untidy, &edits), GOOD);

    session.tell("textDocument/didClose", json!({ "textDocument": { "uri": URI } }));
    assert_eq!(session.hear()["params"]["diagnostics"], json!([]));
    session.end();
}

#[test]
fn a_session_in_the_netc_language() {
    let mut session = Session::begun();
    let uri = "untitled:Untitled-1";
    let text = "net t\ninput image [1, 28, 28]\nconv conv1(20, 5) -> relu -> maxpool(2)\nlinear fc(10)\n";
    assert_eq!(session.open(uri, "netc", text), json!([]));
    let problems = session.change(uri, 2, &text.replace("conv1(20, 5)", "conv1(20, 5, strid: 1)"));
    assert_eq!(problems[0]["code"], "unknown-key", "{problems:#}");
    session.change(uri, 3, text);
    let range = json!({ "start": at(0, 0), "end": at(99, 0) });
    let hints = session.ask("textDocument/inlayHint", json!({ "textDocument": { "uri": uri }, "range": range }));
    let labels: Vec<&str> = hints.as_array().unwrap().iter().map(|h| h["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["20×24×24", "20×12×12", "10"]);
    session.end();
}

#[test]
fn bad_requests_get_errors_and_the_server_goes_on() {
    let mut session = Session::start();
    assert_eq!(session.request("textDocument/hover", place(URI, 0, 0))["error"]["code"], -32002);
    assert_eq!(session.request("initialize", json!([1]))["error"]["code"], -32602);
    session.ask("initialize", json!({ "capabilities": {} }));
    assert_eq!(session.request("initialize", json!({ "capabilities": {} }))["error"]["code"], -32601);
    assert_eq!(session.request("netc/unknown", json!({}))["error"]["code"], -32601);
    assert_eq!(session.request("textDocument/hover", place(URI, 0, 0))["error"]["code"], -32602, "not open");
    assert_eq!(session.request("textDocument/hover", json!({ "position": "x" }))["error"]["code"], -32602);
    session.raw("{this is no JSON");
    assert_eq!(session.hear()["error"]["code"], -32700);
    session.tell("textDocument/didOpen", json!({}));
    session
        .tell("textDocument/didChange", json!({ "textDocument": { "uri": URI, "version": 1 }, "contentChanges": [] }));
    session.tell("$/cancelRequest", json!({ "id": 1 }));
    for text in ["", "\u{feff}net: ä", "{{{{", "- - -", "net: t\r\nlayers:\r\n  - conv: {", "😀"] {
        session.open(URI, "yaml", text);
        session.ask("textDocument/completion", place(URI, 2, 11));
        session.ask("textDocument/hover", place(URI, 0, 1));
    }
    session.end();
}

#[test]
fn the_server_ends_with_its_input() {
    let mut session = Session::begun();
    drop(session.input.take());
    assert!(session.server.wait().unwrap().success());
}
