//! What the verifier accepts and refuses.

use super::super::text::{parse, print};
use super::*;

/// Verifies a kernel of the given buffers and body.
fn check(declarations: &str, body: &str) -> Result<(), Vec<String>> {
    let kernel = parse(&format!("kernel k {{\n{declarations}\n{body}\n}}")).unwrap();
    assert_eq!(parse(&print(&kernel)).unwrap(), kernel);
    verify(&kernel)
}

#[track_caller]
fn refuses(declarations: &str, body: &str, error: &str) {
    let errors = check(declarations, body).unwrap_err();
    assert!(errors.iter().any(|e| e.contains(error)), "{errors:#?}");
}

#[track_caller]
fn accepts(declarations: &str, body: &str) {
    assert_eq!(check(declarations, body), Ok(()));
}

const XY: &str = "global x: f32[64] read\nglobal y: f32[64] write\nglobal l: i32[4] readwrite";

#[test]
fn names_and_places() {
    refuses("global x: f32[1] read\nglobal x: f32[1] read", "", "two buffers are called `x`");
    refuses("scratch s: f32[1]\nglobal x: f32[1] read", "", "comes after scratch");
    refuses("register r: i32[1]", "", "register `r` is not f32");
    refuses(XY, "y[0] = %0\nlet %0 = 1.0", "local %0 is not in scope");
    refuses(XY, "serial i in 0..2 {\nlet %0 = 1.0\n}\ny[0] = %0", "local %0 is not in scope");
    refuses(XY, "let %1 = 1.0\ny[0] = %1", "local %1 is number 0");
    accepts(XY, "y[0] = x[0]");
    let mut kernel = parse("kernel k {\nglobal y: f32[9] write\nserial i in 0..9 {\ny[i] = 0.0\n}\n}").unwrap();
    kernel.vars.push("stray".into());
    assert_eq!(verify(&kernel).unwrap_err(), ["k: 2 variables, 1 loops"]);
    kernel.vars.pop();
    kernel.body.push(Stmt::Store { buffer: BufferId(0), index: Index::Var(Var(0)), value: 0.0.into() });
    assert_eq!(verify(&kernel).unwrap_err(), ["k: variable `i` outside of its loop"]);
}

#[test]
fn types() {
    refuses(XY, "y[0] = 1", "stores I32 to y[0]");
    refuses(XY, "l[0] = x[0]", "stores F32 to l[0]");
    refuses(XY, "y[0] = 1 + 1.0", "operands of types I32 and F32");
    refuses(XY, "y[0] = to_f32(1.0)", "F32 where I32 belongs");
    refuses(XY, "y[0] = to_f32(1 / 1)", "Div of I32");
    refuses(XY, "y[0] = select(1.0, 1.0, 2.0)", "F32 where Bool belongs");
    refuses(XY, "y[0] = x[0; 1.0]", "F32 where I32 belongs");
    refuses(XY, "l[0] = random.7([1, 2], [1, 2, 3, 4])", "random word 7");
    accepts(XY, "let %0 = 1.0 < 2.0\ny[0] = select(%0, 1.0, 2.0)\nl[0] = 1*2 - neg(3)");
}

#[test]
fn access() {
    refuses(XY, "x[0] = 1.0\ny[0] = 1.0", "stores to `x`, which is only read");
    refuses(XY, "l[0] = 1", "never stores to `y`");
}

#[test]
fn bounds() {
    let edge = |end: i64| format!("serial i in 0..{end} {{\ny[i*8 + 7] = 0.0\n}}");
    accepts(XY, &edge(8));
    refuses(XY, &edge(9), "store to y[i*8 + 7] reaches beyond its 64 elements");
    refuses(XY, "y[0] = x[64]", "load of x[64]");
    // Only the enumeration of all values proves this one: (i·i-like) products of remainders.
    accepts(XY, "serial i in 0..9 {\ny[(i*3) % 9 + i % 3*18 / 2] = 0.0\n}");
    // A window clipped at both ends.
    let window = |high: i64| {
        format!(
            "serial i in 0..23 {{\nserial k in max(0, 2 + i*-3)..min(3, {high} + i*-3) {{\ny[i*3 + k - 2] = x[i*3 + k - 2]\n}}\n}}"
        )
    };
    accepts(XY, &window(66));
    refuses(XY, &window(67), "store to y[i*3 + k - 2]");
    // A loop that never runs reaches nothing.
    accepts(XY, "y[0] = 0.0\nserial i in 5..5 {\ny[i + 100] = 0.0\n}");
}

#[test]
fn parallel_loops() {
    let par = |index: &str| format!("parallel p in 0..8 {{\nserial i in 0..8 {{\ny[{index}] = 1.0\n}}\n}}");
    accepts(XY, &par("p*8 + i"));
    accepts(XY, &par("i*8 + p"));
    accepts(XY, &par("p / 4*32 + p % 4*8 + i"));
    accepts(XY, &par("p % 4*16 + p / 4 + i*2"));
    refuses(XY, &par("p*7 + i"), "written in one iteration of `p`, touched in another");
    refuses(XY, &par("p / 2*16 + i"), "written in one iteration of `p`");
    refuses(XY, "parallel p in 0..8 {\ny[p] = 1.0\n}\ny[9] = 1.0", "is not the only root statement");
    refuses(XY, "serial i in 0..1 {\nparallel p in 0..8 {\ny[p] = 1.0\n}\n}", "is not the only root statement");
    // Reading what another iteration writes.
    let rw = "global y: f32[64] readwrite";
    refuses(rw, "parallel p in 0..8 {\ny[p] = y[p + 1]\n}", "written in one iteration of `p`");
    accepts(rw, "parallel p in 0..8 {\ny[p] = y[p + 8]\n}");
    accepts(rw, "parallel p in 0..8 {\nserial i in 0..8 {\ny[p*8 + i] = y[p*8 + 7]\n}\n}");
    // Channel blocks of an NHWC buffer with a narrower last vector.
    accepts(
        "global y: f32[420] write",
        "parallel p in 0..6 {\nserial h in 0..7 {\nserial c in 0..2 {\nvector lane in 0..4 {\n\
         y[h*60 + p*10 + c*4 + lane] = 0.0\n}\n}\nvector tail in 0..2 {\ny[h*60 + p*10 + tail + 8] = 0.0\n}\n}\n}",
    );
}

/// A long kernel is decided by algebra: looking at each access would take hours.
#[test]
fn large_kernels() {
    let body = "parallel p in 0..7040 {\nserial w in 0..55 {\nserial c in 0..12 {\nvector lane in 0..8 {\n\
         y[(p / 55)*311904 + (p % 55 + 1)*5472 + (w + 1)*96 + c*8 + lane] = 0.0\n}\n}\n}\n}";
    accepts("global y: f32[39923712] write", body);
    refuses("global y: f32[39923712] write", &body.replace("5472", "5184"), "written in one iteration");
}

#[test]
fn vector_and_unrolled_loops() {
    let vec = |body: &str| format!("y[0] = 0.0\nvector lane in 0..8 {{\n{body}\n}}");
    let xy = "global y: f32[64] readwrite\nglobal i: i32[8] read\nscratch s: f32[64]\nregister r: f32[16]";
    accepts(xy, &vec("y[lane*8] = y[lane*8 + 1]"));
    accepts(xy, &vec("r[lane] = 0.0\nserial k in 0..8 {\nr[lane] = fma(s[k], 2.0, r[lane])\n}\ny[lane] = r[lane]"));
    accepts(xy, &vec("unrolled u in 0..2 {\nr[u*8 + lane] = y[lane; i[lane]]\n}"));
    refuses(xy, &vec("y[3] = 0.0"), "all lanes store to y[3]");
    refuses(xy, &vec("y[lane / 2] = 0.0"), "does not grow evenly");
    refuses(xy, &vec("s[lane + 1] = s[lane]"), "written in one iteration of `lane`");
    refuses(xy, &vec("serial k in 0..2 {\ns[lane + k] = 0.0\n}"), "written in one iteration of `lane`");
    refuses(xy, &vec("serial k in 0..lane {\ny[lane] = 0.0\n}"), "differ from lane to lane");
    refuses(xy, &vec("vector other in 0..2 {\ny[lane] = 0.0\n}"), "Vector loop `other` in a vector loop");
    refuses(xy, "vector lane in 1..8 {\ny[lane] = 0.0\n}", "does not run from 0");
    refuses(xy, "serial n in 0..2 {\nunrolled u in 0..n {\ny[u] = 0.0\n}\n}", "are not constant");
    refuses(xy, "serial n in 0..2 {\nr[n] = 0.0\n}", "register r[n] is not fixed");
    refuses(xy, &vec("r[lane*2] = 0.0"), "register r[lane*2] is not fixed");
    accepts(xy, "unrolled n in 0..16 {\nr[n] = 0.0\n}");
}
