//! `netc graph` and `netc schema`.

use super::workshop::Workshop;

#[test]
fn pictures_go_to_files_and_standard_output() {
    let workshop = Workshop::new();
    let shown = workshop.netc("graph tiny.yaml").fine();
    assert!(shown.starts_with("<svg ") && shown.ends_with("</svg>\n") && shown.contains(">4×8×8<"), "{shown}");
    assert_eq!(workshop.netc("graph tiny.yaml -o tiny.svg").fine(), "");
    assert_eq!(std::fs::read_to_string(workshop.path("tiny.svg")).unwrap(), shown);
    let wider = workshop.netc("graph tiny.yaml --set conv1.kernels=9").fine();
    assert!(wider.contains(">9×8×8<"), "{wider}");
    assert_eq!(workshop.netc("graph tiny.yaml --format json").json()["svg"], shown);
    workshop.write("wrong.yaml", "net: t\nlayers: [relu]\n");
    workshop.netc("graph wrong.yaml -o tiny.svg").refused(1, &["missing-key"]);
    workshop.netc("graph tiny.yaml -o none/tiny.svg").refused(3, &["none/tiny.svg"]);
    assert_eq!(std::fs::read_to_string(workshop.path("tiny.svg")).unwrap(), shown);
}

#[test]
fn the_schema_is_printed() {
    let schema = Workshop::empty().netc("schema").json();
    assert_eq!(schema["$defs"]["conv"]["required"][0], "kernels");
}
