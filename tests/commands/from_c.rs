//! A compiled program without netc: a C program links the object, trains and classifies.

use crate::workshop::Workshop;
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

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

int main(void) {
    netc_context context = {0};
    context.state = block(TINY_STATE_BYTES);
    context.arena = block(larger(TINY_TRAIN_ARENA_BYTES, TINY_INFER_ARENA_BYTES));
    context.scratch_stride = larger(TINY_TRAIN_SCRATCH_BYTES, TINY_INFER_SCRATCH_BYTES);
    context.scratch = block(context.scratch_stride);

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
    return strlen(netc_manifest) > 100 ? 0 : 1;
}
"#;

#[test]
fn a_c_program_trains_and_classifies() {
    let w = Workshop::new();
    w.netc("compile tiny.yaml -o out --mode train --batch 6").fine();
    w.write("main.c", MAIN);
    let run = |program: &str, arguments: &[&str]| {
        let out = Command::new(program).args(arguments).current_dir(w.path("")).output().unwrap();
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Iout"];
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
