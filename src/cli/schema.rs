//! `netc schema`: the JSON Schema of specs in YAML.

use super::output::Output;
use crate::driver::Failure;
use crate::editor;

/// `netc schema`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Write it to a file and name that in the first line of a spec, for editors with a YAML language \
                        server:\n\n  netc schema > netc.schema.json\n  # yaml-language-server: \
                        $schema=netc.schema.json"
)]
pub struct Schema {}

/// Prints the schema.
pub fn schema(output: &mut Output) -> Result<(), Failure> {
    output.line(&format!("{:#}", editor::schema()))
}
