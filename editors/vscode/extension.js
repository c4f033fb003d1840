// Starts `netc lsp` for .netc files and for the YAML files that the setting netc.yaml names.

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const settings = vscode.workspace.getConfiguration("netc");
  const server = { command: settings.get("path"), args: ["lsp"] };
  const yaml = settings.get("yaml").map((pattern) => ({ language: "yaml", pattern }));
  client = new LanguageClient("netc", "netc", server, { documentSelector: [{ language: "netc" }, ...yaml] });
  try {
    await client.start();
  } catch (error) {
    vscode.window.showErrorMessage(`${server.command} lsp does not start; is netc.path right? ${error.message}`);
  }
}

async function stop() {
  const running = client;
  client = undefined;
  if (running?.isRunning()) await running.stop();
}

async function restart() {
  await stop();
  await start();
}

exports.activate = async (context) => {
  context.subscriptions.push(
    vscode.commands.registerCommand("netc.restart", restart),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("netc")) restart();
    }),
  );
  await start();
};

exports.deactivate = stop;
