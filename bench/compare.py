"""netc beside its peers: the same networks, weights and results, measured in turn.

    python3 bench/compare.py [--net alexnet] [--mode infer] [--batch 1 16] [--threads 2] [--rounds 5] [--json FILE]

For every work (a network, a mode, a batch, a number of threads) it makes weights and images, starts netc and each peer in
a process of its own, checks that they give what PyTorch gives, and then measures one after the other, round by round,
while the others are stopped. The table has milliseconds a call, and how many times as long as netc each peer takes:
least, median and most over the rounds. Exit code 1: a peer failed or disagreed, and has no ratio; 2: something is
missing. See bench/README.md.
"""

import argparse
import array
import contextlib
import json
import math
import os
import pathlib
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# The batch of a training step.
NETS = {
    "alexnet": 128,
    "alexnet-paper": 128,
    "alexnet-torchvision": 128,
    "alexnet-half": 128,
    "vgg16": 16,
    "resnet18": 16,
    "squeezenet": 16,
}
# The package that a peer needs: of Python, and the crate of Rust.
PYTHON = {
    "torch": "torch",
    "torch-compile": "torch",
    "tensorflow": "tensorflow-cpu",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
RUST = {"tract": "tract-onnx", "candle": "candle-core", "burn": "burn"}
PEERS = [*PYTHON, *RUST]
# The process of the peers in Rust.
RUST_WORKER = HERE / "rust" / "target" / "release" / "peers"
TRAINERS = ["torch", "torch-compile", "tensorflow"]
# Seconds after which a peer that says nothing is given up. torch.compile may take several minutes for one network.
PATIENCE = 1800
# Largest difference of a logit, as a share of the logits' root mean square, and of a training step's loss as a share of it.
ALLOWED = 1e-4
# Steps whose losses are written down, how many of them must agree, and their rate. Rounding may decide a ReLU or a maximum
# that is all but a tie the other way, which changes one pixel's gradient: with higher rates or more steps PyTorch's single
# precision does not keep to a quarter of what is allowed beside its own double precision. See bench/README.md.
STEPS, GATED, CHECK_RATE = 3, 2, 1e-4
# The rate of measured steps: however many there are, the weights stay finite.
RATE = 1e-5
# Huge pages for what malloc takes from the system, for every peer: netc asks for them by itself.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "THP_MEM_ALLOC_ENABLE": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Set-up: see bench/README.md. Let nothing else run meanwhile.",
    )
    add = parser.add_argument
    sixteen = ", ".join(net for net, batch in NETS.items() if batch == 16)
    cores = len(os.sched_getaffinity(0))
    add("--net", nargs="+", choices=list(NETS), default=list(NETS), metavar="NET", help=", ".join(NETS))
    add("--mode", choices=["infer", "train"], default="infer", help="inference, or a whole training step")
    batches = f"images in a batch; by default 1 and 16 to infer, to train 128, or 16 for {sixteen}"
    add("--batch", nargs="+", type=positive, metavar="N", help=batches)
    add("--threads", nargs="+", type=positive, default=[cores], metavar="N", help="threads, and cores to run on")
    some = f"of {', '.join(PEERS)} (to train {', '.join(TRAINERS)}); by default all that are installed"
    add("--peers", nargs="+", choices=PEERS, metavar="PEER", help=some)
    add("--rounds", type=positive, default=5, help="how often each is measured")
    add("--seconds", type=float, default=1.0, help="how long a peer is measured in a round")
    add("--calls", type=positive, help="calls in a round at least; by default 5 to infer, 2 to train")
    add("--json", type=pathlib.Path, metavar="FILE", help="write all that was measured to FILE")
    add("--netc", default=str(ROOT / "target" / "release" / "netc"), help="the netc to measure")
    return parser.parse_args()


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def missing(text):
    print(f"compare.py: {text}", file=sys.stderr)
    sys.exit(2)


def note(text):
    print(text, file=sys.stderr, flush=True)


# ---- what is there ---------------------------------------------------------------------------------------------------


def versions(options):
    """The versions of netc and of the packages; ends the program if something that was asked for is not there."""
    import importlib.metadata

    if not shutil.which(options.netc):
        missing(f"no netc at {options.netc}: build it with `cargo build --release`, or name it with --netc")
    if not shutil.which("cc"):
        missing("no cc to compile bench/pool.c with")
    if max(options.threads) > len(os.sched_getaffinity(0)):
        missing(f"{max(options.threads)} threads on {len(os.sched_getaffinity(0))} cores")
    version = subprocess.run([options.netc, "--version"], stdout=subprocess.PIPE, text=True).stdout
    found = {"netc": version.split()[-1] if version.split() else "?"}

    def package(name):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True

    for name in ("torch", "numpy", "safetensors", "onnx"):
        if not package(name):
            missing(f"no {name} in this Python ({sys.executable}): pip install -r bench/requirements.txt")
    named, options.peers = options.peers, options.peers or PEERS
    for peer in named or []:
        if not able(peer, options.mode):
            missing(f"{peer} does not train: --peers takes {', '.join(TRAINERS)} with --mode train")
    options.peers = [peer for peer in options.peers if able(peer, options.mode)]
    there = []
    for peer in options.peers:
        if peer in RUST and RUST_WORKER.exists():
            found[peer] = crate(RUST[peer])
        elif peer in RUST or not package(PYTHON[peer]):
            cure = "(cd bench/rust && cargo build --release)" if peer in RUST else "pip install -r bench/requirements.txt"
            if named:
                missing(f"no {peer}: {cure}")
            note(f"{peer} is not here and is left out: {cure}")
            continue
        there.append(peer)
    options.peers = there
    return found


def crate(name):
    """The version of a crate that bench/rust is locked to."""
    lock = tomllib.loads((HERE / "rust" / "Cargo.lock").read_text())
    return next((package["version"] for package in lock["package"] if package["name"] == name), "?")


def able(peer, mode):
    return mode == "infer" or peer in TRAINERS


def machine():
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "system": platform.platform(), "load": os.getloadavg()[0]}


# ---- workers ---------------------------------------------------------------------------------------------------------


class Failed(Exception):
    """A peer that does not do what it should; in words."""


class Worker:
    """A peer's process: stopped but while it is asked something."""

    def __init__(self, work, label):
        self.name = work["peer"]
        folder = pathlib.Path(work["folder"])
        self.output = folder / f"{label}.logits.f32"
        self.log = folder / f"{label}.log"
        path = folder / f"{label}.json"
        path.write_text(json.dumps({**work, "output": str(self.output)}))
        cores = sorted(os.sched_getaffinity(0))[: work["threads"]]
        threads = {name: str(work["threads"]) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
        environment = {**os.environ, **ENVIRONMENT, **threads}
        words = [RUST_WORKER, path] if self.name in RUST else [sys.executable, HERE / "worker.py", path]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def answer(self):
        """The process's next answer; what it says of its progress before is passed on."""
        while True:
            # It writes whole lines and waits after an answer, so that nothing stays behind in the reader's buffer.
            if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                raise Failed(f"{self.name} has said nothing for {PATIENCE // 60} minutes")
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
                raise Failed(f"{self.name} ended with {self.process.returncode}:\n{tail}")
            said = json.loads(line)
            if "progress" not in said:
                return said
            note(f"  {self.name} {said['progress']}")

    def ask(self, question):
        self.signal(signal.SIGCONT)
        before = self.at_work()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        answer = self.answer()
        after = self.at_work()
        self.signal(signal.SIGSTOP)
        taken = [after[thread] - before.get(thread, 0) for thread in after]
        return answer | {"at work": sum(ticks > sum(taken) / 20 for ticks in taken)}

    def at_work(self):
        """Processor time that each of the process's threads has had."""
        threads = {}
        for path in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                # After the name, which is in brackets and may hold anything.
                fields = path.read_text().rpartition(")")[2].split()
                threads[path.parent.name] = int(fields[11]) + int(fields[12])
        return threads

    def signal(self, which):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, which)

    def end(self):
        self.signal(signal.SIGKILL)
        self.process.wait()


def command(words, what):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failed(f"{what} failed with {done.returncode}:\n{done.stdout.strip()}")


def files(work):
    """Has the files written that all peers read."""
    path = pathlib.Path(work["folder"]) / "files.json"
    path.write_text(json.dumps({**work, "peer": "files"}))
    command([sys.executable, HERE / "worker.py", path], "making weights and images")


def compile_spec(options, work, dropout, name):
    """Has netc compile the spec; gives the folder."""
    folder = pathlib.Path(work["folder"]) / name
    words = [options.netc, "compile", ROOT / "specs" / f"{work['net']}.yaml", "-o", folder]
    words += ["--mode", work["mode"], "--batch", work["batch"]]
    if work["mode"] == "train":
        words += ["--set", "train.optimizer={sgd: {lr: 0.01, momentum: 0.9, weight_decay: 5.0e-4}}"]
        words += ["--set", "train.loss=cross_entropy"]
        for layer in work["dropouts"] if dropout == 0 else []:
            words += ["--set", f"{layer}.p=0"]
    command(words, "netc compile")
    return str(folder)


def dropouts(options, net):
    """The names of a spec's dropout layers."""
    words = [options.netc, "check", ROOT / "specs" / f"{net}.yaml", "--format", "json"]
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True)
    return [layer["name"] for layer in json.loads(done.stdout)["layers"] if layer["kind"] == "dropout"]


# ---- agreement -------------------------------------------------------------------------------------------------------


def floats(path):
    values = array.array("f")
    values.frombytes(path.read_bytes())
    return values


def logits_apart(path, reference):
    """The largest difference of a logit as a share of the reference's root mean square."""
    ours, theirs = floats(path), floats(reference)
    if len(ours) != len(theirs):
        raise Failed(f"{len(ours)} logits, not {len(theirs)}")
    size = math.sqrt(sum(value * value for value in theirs) / len(theirs))
    differences = [abs(a - b) for a, b in zip(ours, theirs)]
    # A comparison with a number that is none is false: such a logit must not hide behind max().
    return max(differences) / size if all(math.isfinite(d) for d in differences) else math.inf


def losses_apart(ours, theirs):
    """The largest relative difference of a step's loss."""
    apart = [abs(a - b) / abs(b) for a, b in zip(ours, theirs)]
    return max(apart) if all(math.isfinite(a) for a in apart) else math.inf


def losses(options, work, settings):
    """The losses of a peer's first steps without dropout, whose random numbers are each peer's own."""
    work = {**work, "dropout": 0.0, "check": STEPS, "rate": CHECK_RATE, "layout": settings}
    if work["peer"] == "netc":
        work["netc"] = compile_spec(options, work, 0, "netc-check")
    worker = Worker(work, f"{work['peer']}-check")
    try:
        return worker.answer()["losses"]
    finally:
        worker.end()


# ---- measuring -------------------------------------------------------------------------------------------------------


def start(options, work, state):
    """Starts each peer, and finds out how far it is from PyTorch; those that fail or differ are not measured."""
    reference = None
    for peer in ["torch", "netc", *(p for p in state["peers"] if p != "torch")]:
        work = {**work, "peer": peer}
        try:
            if peer == "netc":
                work["netc"] = compile_spec(options, work, work["dropout"], "netc")
            worker = state["workers"][peer] = Worker(work, peer)
            settings = state["settings"][peer] = worker.answer()["settings"]
            worker.signal(signal.SIGSTOP)
            if work["mode"] == "train":
                found = losses(options, work, settings)
                reference = reference or found
                apart = losses_apart(found[:GATED], reference[:GATED])
                note(f"  {peer}: {losses_apart(found, reference):.1e} from torch after {STEPS} steps, which need not agree")
                state["losses"][peer] = found
            else:
                apart = logits_apart(worker.output, pathlib.Path(work["folder"]) / "logits.f32")
            state["apart"][peer] = apart
            note(f"  {peer} ({settings}): {apart:.1e} from torch")
            if not apart <= ALLOWED:
                raise Failed(f"{peer} is {apart:.1e} away from torch, which is more than {ALLOWED:.0e}")
        except Failed as failure:
            state["failures"][peer] = str(failure)
            note(f"  {failure}")
            if peer in state["workers"]:
                state["workers"].pop(peer).end()
            if peer in ("torch", "netc"):
                return
    if "torch" not in state["peers"]:
        state["workers"].pop("torch").end()


def rounds(options, work, state):
    """Measures all in turn; every second round goes the other way, so that a machine that slows down favours nobody."""
    calls = options.calls or {"infer": 5, "train": 2}[work["mode"]]
    order = ["netc", *(peer for peer in state["peers"] if peer in state["workers"])]
    for index in range(options.rounds):
        for peer in order if index % 2 == 0 else order[::-1]:
            if peer not in state["workers"]:
                continue
            try:
                answer = state["workers"][peer].ask({"seconds": options.seconds, "calls": calls})
            except Failed as failure:
                state["failures"][peer] = str(failure)
                note(f"  {failure}")
                state["workers"].pop(peer).end()
                state["milliseconds"].pop(peer, None)
                continue
            state["milliseconds"].setdefault(peer, []).append(1e3 * statistics.median(answer["seconds"]))
            state["at work"][peer] = max(state["at work"].get(peer, 0), answer["at work"])
        note(f"  round {index + 1}: " + ", ".join(f"{peer} {taken[-1]:.2f} ms" for peer, taken in state["milliseconds"].items()))
    # Backward runs on a thread of its own in PyTorch, while the caller waits.
    for peer, count in state["at work"].items():
        if count > work["threads"] and work["mode"] == "infer":
            note(f"  {peer} had {count} threads at work, not {work['threads']}")


def measure(options, work):
    """All there is to know of a work."""
    state = {"workers": {}, "peers": options.peers}
    state |= {key: {} for key in ("settings", "apart", "losses", "failures", "milliseconds", "at work")}
    with tempfile.TemporaryDirectory(prefix="netc-bench-") as folder:
        onnx = any(not peer.startswith("torch") for peer in state["peers"])
        work = {**work, "folder": folder, "onnx": onnx, "dropout": 0.5, "check": 0, "rate": RATE, "pool": f"{folder}/pool.so"}
        try:
            command(["cc", "-O2", "-shared", "-fPIC", "-pthread", HERE / "pool.c", "-o", work["pool"]], "compiling pool.c")
            work["dropouts"] = dropouts(options, work["net"]) if work["mode"] == "train" else []
            files(work)
            start(options, work, state)
            if "netc" in state["workers"]:
                rounds(options, work, state)
        except Failed as failure:
            state["failures"]["files"] = str(failure)
            note(f"  {failure}")
        finally:
            for worker in state["workers"].values():
                worker.end()
    return summary(work, state)


def summary(work, state):
    taken = state["milliseconds"]
    ratios = {}
    for peer in taken.keys() - {"netc"} if "netc" in taken else ():
        by_round = [theirs / ours for theirs, ours in zip(taken[peer], taken["netc"])]
        ratios[peer] = {"min": min(by_round), "median": statistics.median(by_round), "max": max(by_round)}
    best = min(ratios, key=lambda peer: statistics.median(taken[peer]), default=None)
    told = {key: work[key] for key in ("net", "mode", "batch", "threads")}
    told |= {key: state[key] for key in ("settings", "apart", "losses", "failures", "milliseconds", "at work")}
    return {**told, "ratios": ratios, "best": best}


# ---- telling ---------------------------------------------------------------------------------------------------------


def table(results, peers):
    """The works as an aligned table."""
    rows = [["net", "work", "threads", "netc ms", "best peer", "its ms", *(f"to {peer}" for peer in peers), "apart"]]
    for result in results:
        taken, ratios = result["milliseconds"], result["ratios"]
        middle = {peer: f"{statistics.median(values):.2f}" for peer, values in taken.items()}
        row = [result["net"], f"{result['mode']} {result['batch']}", str(result["threads"]), middle.get("netc", "failed")]
        row += [result["best"] or "", middle.get(result["best"], "")]
        for peer in peers:
            ratio = ratios.get(peer)
            text = "failed" if peer in result["failures"] else "-"
            row.append("{min:.2f}–{median:.2f}–{max:.2f}".format(**ratio) if ratio else text)
        row.append(f"{result['apart']['netc']:.0e}" if "netc" in result["apart"] else "")
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = (0, 1, 4)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def main():
    options = arguments()
    # So that workers, which are in sessions of their own and may be stopped, end with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found = versions(options)
    here = machine()
    if here["load"] > 0.5:
        note(f"others are at work here (load {here['load']:.1f}): these figures will not be worth much")
    results = []
    for net in options.net:
        for threads in options.threads:
            for batch in options.batch or ([1, 16] if options.mode == "infer" else [NETS[net]]):
                work = {"net": net, "mode": options.mode, "batch": batch, "threads": threads}
                note(f"{net}, {options.mode}, batch {batch}, {threads} threads")
                results.append(measure(options, work))
                if options.json:
                    told = {"machine": here, "versions": found, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "works": results}
                    options.json.write_text(json.dumps(told, indent=2) + "\n")
    print(f"{here['processor']}, {', '.join(f'{name} {version}' for name, version in found.items())}")
    what = "logits" if options.mode == "infer" else "losses"
    print(f"{options.rounds} rounds; to a peer: its time over netc's, least–median–most; apart: netc's {what} from torch's")
    print(table(results, options.peers))
    sys.exit(1 if any(result["failures"] for result in results) else 0)


if __name__ == "__main__":
    main()
