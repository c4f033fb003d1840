//! `netc lsp`: the language server protocol on standard input and output.
//!
//! One message after the other; what is asked of a text is answered by [`editor`](crate::editor). A request that cannot
//! be understood gets an error, and the server goes on.

use super::output::Output;
use crate::driver::{self, Failure};
use crate::editor::{Document, Target, uri};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionOrCommand, CodeActionParams, CodeActionProviderCapability,
    CompletionOptions, CompletionParams, DidChangeTextDocumentParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, DocumentFormattingParams, DocumentSymbolParams, DocumentSymbolResponse,
    GotoDefinitionParams, GotoDefinitionResponse, HoverParams, HoverProviderCapability, InitializeParams,
    InlayHintParams, Location, OneOf, PublishDiagnosticsParams, ServerCapabilities, TextDocumentSyncCapability,
    TextDocumentSyncKind, Uri,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `netc lsp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "An editor starts it and speaks the language server protocol with it on standard input and \
                        output.\nHow to set up VS Code, Neovim and Helix: editors/README.md.")]
pub struct Lsp {
    /// Speak on standard input and output, which is what it does anyway
    #[arg(long, hide = true)]
    pub stdio: bool,
}

/// Serves until the editor says `exit` or closes standard input.
pub fn lsp(output: &mut Output) -> Result<(), Failure> {
    let mut server = Server { documents: BTreeMap::new(), snippets: false, state: State::New };
    let mut input = std::io::stdin().lock();
    while server.state != State::Ended {
        let Some(replies) = server.next(&mut input)? else { break };
        for reply in replies {
            let mut bytes = Vec::new();
            reply.write(&mut bytes).map_err(|e| Failure::Bug(format!("a reply cannot be written: {e}")))?;
            output.write(&String::from_utf8_lossy(&bytes))?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The editor has not said hello.
    New,
    Running,
    /// The editor has said that it will end.
    Shut,
    Ended,
}

struct Server {
    /// Open texts with their versions, by URI.
    documents: BTreeMap<String, (Document, i32)>,
    snippets: bool,
    state: State,
}

/// Why a request has no result.
type Refusal = (ErrorCode, String);

impl Server {
    /// Reads a message and gives what is to be said to it; nothing at the end of the input.
    fn next(&mut self, input: &mut impl BufRead) -> Result<Option<Vec<Message>>, Failure> {
        match Message::read(input) {
            Ok(None) => Ok(None),
            Ok(Some(Message::Request(request))) => Ok(Some(vec![Message::Response(self.request(request))])),
            Ok(Some(Message::Notification(notification))) => Ok(Some(self.notification(notification))),
            Ok(Some(Message::Response(_))) => Ok(Some(Vec::new())),
            Err(e) if e.kind() == ErrorKind::InvalidData => {
                let error = json!({ "code": ErrorCode::ParseError as i32, "message": "this is no message" });
                let body = json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string();
                // A reply to nobody: its id is null, which the library's type cannot say.
                super::output::complain(&format!("netc lsp: {e}"));
                let mut out = Output::default();
                out.write(&format!("Content-Length: {}\r\n\r\n{body}", body.len()))?;
                Ok(Some(Vec::new()))
            }
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(Failure::Environment(format!("cannot read from standard input: {e}"))),
        }
    }

    fn request(&mut self, request: Request) -> Response {
        let Request { id, method, params } = request;
        let answered = catch_unwind(AssertUnwindSafe(|| self.answer(&method, params)));
        match answered {
            Ok(Ok(result)) => Response::new_ok(id, result),
            Ok(Err((code, message))) => refused(id, code, message),
            Err(_) => refused(id, ErrorCode::InternalError, format!("a bug in netc: {method} failed")),
        }
    }

    fn answer(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        match (self.state, method) {
            (State::New, "initialize") => return self.initialize(params),
            (State::New, _) => return Err((ErrorCode::ServerNotInitialized, "`initialize` must come first".into())),
            (State::Running, _) => {}
            _ => return Err((ErrorCode::InvalidRequest, "the server is shut down".into())),
        }
        match method {
            "shutdown" => {
                self.state = State::Shut;
                Ok(Value::Null)
            }
            "textDocument/hover" => {
                let HoverParams { text_document_position_params: at, .. } = read(params)?;
                Ok(json!(self.document(&at.text_document.uri)?.0.hover(at.position)))
            }
            "textDocument/completion" => {
                let CompletionParams { text_document_position: at, .. } = read(params)?;
                Ok(json!(self.document(&at.text_document.uri)?.0.completion(at.position, self.snippets)))
            }
            "textDocument/definition" => {
                let GotoDefinitionParams { text_document_position_params: at, .. } = read(params)?;
                let uri = at.text_document.uri;
                let target = self.document(&uri)?.0.definition(at.position);
                let location = target.and_then(|Target { file, range }| {
                    let uri = file.map_or(Some(uri), |file| uri::of_path(&file))?;
                    Some(GotoDefinitionResponse::Scalar(Location { uri, range }))
                });
                Ok(json!(location))
            }
            "textDocument/documentSymbol" => {
                let DocumentSymbolParams { text_document, .. } = read(params)?;
                let symbols = self.document(&text_document.uri)?.0.symbols();
                Ok(json!(DocumentSymbolResponse::Nested(symbols)))
            }
            "textDocument/inlayHint" => {
                let InlayHintParams { text_document, range, .. } = read(params)?;
                Ok(json!(self.document(&text_document.uri)?.0.inlay_hints(range)))
            }
            "textDocument/codeAction" => {
                let CodeActionParams { text_document, range, .. } = read(params)?;
                let (document, version) = self.document(&text_document.uri)?;
                let actions = document.code_actions(&text_document.uri, Some(*version), range);
                Ok(json!(actions.into_iter().map(CodeActionOrCommand::CodeAction).collect::<Vec<_>>()))
            }
            "textDocument/formatting" => {
                let DocumentFormattingParams { text_document, .. } = read(params)?;
                Ok(json!(self.document(&text_document.uri)?.0.formatting()))
            }
            other => Err((ErrorCode::MethodNotFound, format!("netc knows no `{other}`"))),
        }
    }

    fn initialize(&mut self, params: Value) -> Result<Value, Refusal> {
        let InitializeParams { capabilities, .. } = read(params)?;
        let completion = capabilities.text_document.and_then(|t| t.completion).and_then(|c| c.completion_item);
        self.snippets = completion.and_then(|item| item.snippet_support).unwrap_or(false);
        self.state = State::Running;
        let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
        let capabilities = ServerCapabilities {
            text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::FULL)),
            hover_provider: Some(HoverProviderCapability::Simple(true)),
            completion_provider: Some(CompletionOptions {
                trigger_characters: words(&["{", "[", "(", ",", " "]),
                ..CompletionOptions::default()
            }),
            definition_provider: Some(OneOf::Left(true)),
            document_symbol_provider: Some(OneOf::Left(true)),
            inlay_hint_provider: Some(OneOf::Left(true)),
            document_formatting_provider: Some(OneOf::Left(true)),
            code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]),
                ..CodeActionOptions::default()
            })),
            ..ServerCapabilities::default()
        };
        let info = json!({ "name": "netc", "version": env!("CARGO_PKG_VERSION") });
        Ok(json!({ "capabilities": capabilities, "serverInfo": info }))
    }

    fn document(&self, uri: &Uri) -> Result<&(Document, i32), Refusal> {
        let unknown = || (ErrorCode::InvalidParams, format!("`{}` is not open", uri.as_str()));
        self.documents.get(uri.as_str()).ok_or_else(unknown)
    }

    /// What is to be said to a notification: what is wrong with a text that was opened or changed.
    fn notification(&mut self, notification: Notification) -> Vec<Message> {
        let Notification { method, params } = notification;
        if self.state == State::New && method != "exit" {
            return Vec::new();
        }
        match method.as_str() {
            "exit" => {
                self.state = State::Ended;
                Vec::new()
            }
            "textDocument/didOpen" => match read::<DidOpenTextDocumentParams>(params) {
                Ok(DidOpenTextDocumentParams { text_document: opened }) => {
                    let name = name(&opened.uri, &opened.language_id);
                    self.set(&opened.uri, name, opened.text, opened.version)
                }
                Err(_) => Vec::new(),
            },
            "textDocument/didChange" => match read::<DidChangeTextDocumentParams>(params) {
                Ok(DidChangeTextDocumentParams { text_document: changed, content_changes }) => {
                    // The whole text comes with each change, as the server asked for.
                    let text = content_changes.into_iter().next_back().map(|change| change.text);
                    let name = self.documents.get(changed.uri.as_str()).map(|(document, _)| document.name.clone());
                    match (name, text) {
                        (Some(name), Some(text)) => self.set(&changed.uri, name, text, changed.version),
                        _ => Vec::new(),
                    }
                }
                Err(_) => Vec::new(),
            },
            "textDocument/didClose" => match read::<DidCloseTextDocumentParams>(params) {
                Ok(DidCloseTextDocumentParams { text_document }) => {
                    self.documents.remove(text_document.uri.as_str());
                    vec![publish(&text_document.uri, Vec::new(), None)]
                }
                Err(_) => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn set(&mut self, uri: &Uri, name: String, text: String, version: i32) -> Vec<Message> {
        let made = catch_unwind(AssertUnwindSafe(|| {
            // A text in no file has no folder that what it includes could be relative to.
            let filed = uri::path(uri).is_some();
            let mut load = |wanted: &str, from: &str| match filed {
                true => driver::included(wanted, from),
                false => Err(format!("cannot include {wanted}: this text is in no file yet")),
            };
            let document = Document::new(name, text, &mut load);
            let diagnostics = document.diagnostics(uri);
            (document, diagnostics)
        }));
        let Ok((document, diagnostics)) = made else { return Vec::new() };
        self.documents.insert(uri.as_str().to_string(), (document, version));
        vec![publish(uri, diagnostics, Some(version))]
    }
}

fn publish(uri: &Uri, diagnostics: Vec<lsp_types::Diagnostic>, version: Option<i32>) -> Message {
    let params = PublishDiagnosticsParams { uri: uri.clone(), diagnostics, version };
    Message::Notification(Notification::new("textDocument/publishDiagnostics".to_string(), params))
}

/// The path of a text, or a name whose end says the syntax if it is in no file yet.
fn name(uri: &Uri, language: &str) -> String {
    if let Some(path) = uri::path(uri) {
        return path;
    }
    let name = uri.as_str().rsplit('/').next().unwrap_or_default();
    match (name.contains('.'), language) {
        (true, _) => name.to_string(),
        (false, "netc") => format!("{name}.netc"),
        (false, "yaml") => format!("{name}.yaml"),
        (false, _) => name.to_string(),
    }
}

fn refused(id: RequestId, code: ErrorCode, message: String) -> Response {
    Response::new_err(id, code as i32, message)
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params).map_err(|e| (ErrorCode::InvalidParams, e.to_string()))
}
