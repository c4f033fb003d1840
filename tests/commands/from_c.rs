//! A compiled program without netc: a C program links the object, trains and classifies.

use crate::workshop::{Workshop, project};
use std::process::Command;

/// Learns to tell a bright left half from a bright right half and from both, on one thread.
const MAIN: &str = r#"
#include "tiny.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *block(size_t bytes) {
    size_t whole = (bytes + 64) / 64 * 64;
    void *memory = aligned_alloc(64, whole);
    if (!memory) exit(2);
    return memset(memory, 0, whole);
}

int main(void) {
    netc_context context = {0};
    context.state = block(TINY_STATE_BYTES);
    memset(context.state, 0xff, TINY_STATE_BYTES); /* init leaves nothing as it was */
    context.arena = block(TINY_ARENA_BYTES);
    context.scratch = block(TINY_SCRATCH_BYTES);

    int32_t *seed = block(8), *labels = block(4 * TINY_BATCH), *step = block(4);
    float *image = block(4 * TINY_BATCH * 64), *rate = block(4), *loss = block(4), *output = block(4 * TINY_BATCH * 3);
    for (int i = 0; i < TINY_BATCH; i++) {
        labels[i] = i % 3;
        for (int pixel = 0; pixel < 64; pixel++) {
            int right = pixel % 8 >= 4;
            image[i * 64 + pixel] = labels[i] == 2 || labels[i] == right ? 1.0f : 0.0f;
        }
    }

    uint8_t *init[] = {(void *)seed};
    context.ports = init;
    if (tiny_init(&context)) return 1;

    uint8_t *train[] = {(void *)image, (void *)labels, (void *)rate, (void *)step, (void *)seed, (void *)loss, (void *)output};
    context.ports = train;
    *rate = 0.02f;
    for (*step = 0; *step < 60; ++*step) {
        if (tiny_train(&context)) return 1;
        if (*step == 0) printf("%.9g\n", *loss);
    }
    printf("%.9g\n", *loss);

    if (tiny_prepare(&context)) return 1;
    uint8_t *infer[] = {(void *)image, (void *)output};
    context.ports = infer;
    if (tiny_infer(&context)) return 1;
    int right = 0;
    for (int i = 0; i < TINY_BATCH; i++) {
        const float *row = output + 3 * i;
        int best = row[1] > row[0] ? 1 : 0;
        if (row[2] > row[best]) best = 2;
        right += best == labels[i];
    }
    printf("%d\n", right);
    return strlen(tiny_manifest) > 100 ? 0 : 1;
}
"#;

const STRICT: [&str; 5] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Iout"];

/// Runs a program in the workshop and gives its output.
fn run(w: &Workshop, program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).current_dir(w.path("")).output().unwrap();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_c_program_trains_and_classifies() {
    let w = Workshop::new();
    w.netc("compile tiny.yaml -o out --mode train --batch 6").fine();
    w.write("main.c", MAIN);
    let run = |program: &str, arguments: &[&str]| run(&w, program, arguments);
    let strict = STRICT;
    run("cc", &[&strict[..], &["main.c", "out/tiny.o", "-lm", "-o", "linked"]].concat());
    let out = run("./linked", &[]);
    let numbers: Vec<f64> = out.lines().map(|l| l.parse().unwrap()).collect();
    let [first, last, right] = numbers[..] else { panic!("three lines: {out}") };
    assert!((first - 3f64.ln()).abs() < 1.0, "the first loss is about ln 3: {first}");
    assert!(last < 0.1, "it has learned: {last}");
    assert_eq!(right, 6.0, "all six are right");
    // The shared library gives the same numbers.
    run("cc", &[&strict[..], &["main.c", "out/tiny.so", "-lm", "-Wl,-rpath,$ORIGIN/out", "-o", "shared"]].concat());
    assert_eq!(run("./shared", &[]), out);
}

#[test]
fn the_readme_s_example_runs() {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    let after = |text: &str, mark: &str| text.split_once(mark).map(|(_, rest)| rest.to_owned()).unwrap();
    let section = after(&readme, "## From C");
    let command = after(&section, "```sh\n").split_once("```").unwrap().0.to_owned();
    let main = after(&section, "```c\n").split_once("```").unwrap().0.to_owned();
    let w = Workshop::empty();
    w.write("specs/lenet.yaml", std::fs::read(project("specs/lenet.yaml")).unwrap());
    w.write("main.c", main);
    let out = w.shell(&format!("set -e\ncc() {{ command cc -Wall -Wextra -Werror \"$@\"; }}\n{command}"));
    assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{}", out.stdout);
    let classes = out.stdout.lines().skip_while(|line| !line.starts_with("class 0: ")).collect::<Vec<_>>();
    assert_eq!(classes.len(), 10, "{}", out.stdout);
    for (i, line) in classes.iter().enumerate() {
        let number: f32 = line.strip_prefix(&format!("class {i}: ")).unwrap().parse().unwrap();
        assert!(number.is_finite() && number != 0.0, "{line}");
    }
}

#[test]
fn the_header_says_how_to_call_the_program() {
    let w = Workshop::new();
    w.write("my-net.yaml", workshop_net());
    w.netc("compile my-net.yaml -o out --mode train --batch 2").fine();
    assert_eq!(w.files("out"), ["my_net.h", "my_net.o", "my_net.so", "program.json"]);
    let header = String::from_utf8(w.read("out/my_net.h")).unwrap();
    let words = header.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "my_net_init fills all of it",
        "the states of optimizers with zeros",
        "weights.safetensors",
        "the low and the high half of the seed",
        "`step` counts from 0",
        "(v/255 - mean)/std by channel, with mean [0.5] and std [0.25]",
        "a plane for each channel",
        "resize so that the shorter side has 9 pixels, crop the centre, 8 rows of 8 pixels",
        "3 numbers an image: logits",
        "The classes are 0 left, 1 * /, 2 both.",
        "scratch + t*scratch_stride for thread t",
        "learning_rate one float",
        "seed int32_t [2]",
    ] {
        assert!(words.contains(said), "does not say `{said}`:\n{header}");
    }
}

/// The small network with another name, an awkward class and images that are resized.
fn workshop_net() -> String {
    let preprocess = "preprocess: {resize: 9, crop: center, mean: 0.5, std: 0.25}\n";
    crate::workshop::TINY.replace("net: tiny", "net: my-net").replace("right,", "'*/',") + preprocess
}

/// Three programs in one: one has layers whose names are alike as macros, one the name of the manifest's common symbol.
const SEVERAL: &str = r#"
#include "tiny.h"
#include "alike.h"
#include "netc.h"
#include <stdio.h>
#include <stdlib.h>

static int all_init(int (*init)(const netc_context *), size_t bytes, size_t offset) {
    uint8_t *state = aligned_alloc(64, bytes);
    _Alignas(64) int32_t seed[16] = {7};
    uint8_t *ports[] = {(void *)seed};
    _Alignas(64) uint8_t scratch[1 << 16];
    netc_context context = {.state = state, .scratch = scratch, .scratch_stride = sizeof scratch, .ports = ports};
    int failed = init(&context);
    printf("%.9g\n", *(float *)(state + offset));
    free(state);
    return failed;
}

int main(void) {
    printf("%zu %zu %zu\n", (size_t)ALIKE_A_B_WEIGHT_OFFSET, (size_t)ALIKE_A_B_WEIGHT_2_OFFSET,
           (size_t)ALIKE_A_B_WEIGHT_3_OFFSET);
    printf("%c%c%c\n", tiny_manifest[0], alike_manifest[0], netc_manifest[0]);
    return all_init(tiny_init, TINY_STATE_BYTES, TINY_CONV1_WEIGHT_OFFSET) |
           all_init(alike_init, ALIKE_STATE_BYTES, ALIKE_A_B_BIAS_3_OFFSET) |
           all_init(netc_init, NETC_STATE_BYTES, NETC_FC_WEIGHT_OFFSET);
}
"#;

#[test]
fn several_programs_are_linked_into_one() {
    let w = Workshop::new();
    let head = "input: {name: image, shape: [3]}\nlayers:\n";
    let layer = |name: &str, bias: i32| {
        format!("  - linear: {{name: {name}, features: 4, init: {{weight: 0.5, bias: {bias}}}}}\n")
    };
    let alike = ["a.b", "a_b", "A_B"].iter().zip(1..).map(|(name, i)| layer(name, i)).collect::<String>();
    w.write("alike.yaml", format!("net: alike\n{head}{alike}"));
    w.write("netc.yaml", format!("net: netc\n{head}{}", layer("fc", 0)));
    for name in ["tiny", "alike", "netc"] {
        w.netc(&format!("compile {name}.yaml -o out --mode infer")).fine();
        // The runtime finds the manifest in the library; every other symbol begins with the network's name.
        let symbols = run(&w, "nm", &["-D", "--defined-only", &format!("out/{name}.so")]);
        let names: Vec<&str> = symbols.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert!(names.contains(&"netc_manifest") && names.contains(&format!("{name}_manifest").as_str()), "{symbols}");
        let own = |n: &str| n == "netc_manifest" || n.starts_with(&format!("{name}_"));
        assert!(names.iter().all(|n| own(n)), "{symbols}");
    }
    w.write("several.c", SEVERAL);
    let objects = ["several.c", "out/tiny.o", "out/alike.o", "out/netc.o", "-lm", "-o", "several"];
    run(&w, "cc", &[&STRICT[..], &objects].concat());
    let out = run(&w, "./several", &[]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["0 128 256", "{{{"], "{out}");
    assert_ne!(lines[2].parse::<f32>().unwrap(), 0.0, "{out}");
    assert_eq!(lines[3..], ["3", "0.5"], "{out}");
}

/// `CC` may have options, and be empty.
#[test]
fn the_linker_is_what_cc_says() {
    let w = Workshop::new();
    for cc in ["env cc", "", "cc -O1"] {
        let output = w.command("compile tiny.yaml -o out --mode infer").env("CC", cc).output().unwrap();
        assert!(output.status.success(), "CC=`{cc}`: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output =
        w.command("compile tiny.yaml -o out --mode infer").env("CC", "no-such-compiler -m64").output().unwrap();
    crate::workshop::Done::from(output).refused(3, &["`no-such-compiler`", "set CC"]);
}
