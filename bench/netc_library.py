"""A library that `netc compile` wrote, called as a C program would call it: see the header beside it."""

import ctypes
import json
import mmap
import pathlib

import numpy as np

TYPES = {"f32": np.float32, "i32": np.int32, "u8": np.uint8}
# From this size on huge pages are asked for, as netc's own runtime does.
HUGE = 4 << 20


class Context(ctypes.Structure):
    """struct netc_context of the header."""

    _fields_ = [
        ("arena", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("scratch_stride", ctypes.c_size_t),
        ("ports", ctypes.c_void_p),
        ("parallel_for", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
    ]


def block(size):
    """Zeroed bytes that begin on a page."""
    mapped = mmap.mmap(-1, max(size, 1))
    if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            mapped.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass  # a kernel without huge pages; small ones work as well
    return np.frombuffer(mapped, np.uint8)


class Library:
    """State, arena, scratch, ports and threads for one compiled network."""

    def __init__(self, folder, pool, threads):
        folder = pathlib.Path(folder)
        self.manifest = json.loads((folder / "program.json").read_text())
        self.code = ctypes.CDLL(str(folder / f"{self.manifest['name'].replace('-', '_')}.so"))
        self.functions = {function["name"]: function for function in self.manifest["functions"]}
        threading = ctypes.CDLL(str(pool))
        threading.pool_new.restype = ctypes.c_void_p
        self.pool = threading.pool_new(threads)
        if not self.pool:
            raise RuntimeError(f"the system gives no {threads} threads")
        self.parallel_for = ctypes.cast(threading.pool_parallel_for, ctypes.c_void_p).value
        functions = self.functions.values()
        self.state = block(self.manifest["state_bytes"])
        self.arena = block(max(function["arena_bytes"] for function in functions))
        self.stride = -(-max(function["scratch_bytes"] for function in functions) // 64) * 64
        self.scratch = block(self.stride * threads)

    def load(self, tensors):
        """Copies a weights file's tensors into the state; every parameter must be there, and nothing else."""
        wanted = {state["name"]: state for state in self.manifest["states"] if state["role"] in ("parameter", "buffer")}
        if wanted.keys() != tensors.keys():
            raise ValueError(f"netc's tensors are called otherwise: {sorted(wanted.keys() ^ tensors.keys())[:6]} ...")
        for name, value in tensors.items():
            state = wanted[name]
            if list(value.shape) != state["shape"]:
                raise ValueError(f"{name} is {list(value.shape)} in the file and {state['shape']} in netc's program")
            place = self.state[state["offset"] :][: value.nbytes]
            place[:] = np.ascontiguousarray(value, np.float32).reshape(-1).view(np.uint8)

    def function(self, name):
        """The ports of a function by name, as arrays, and what to call without arguments to run it."""
        function = self.functions[name]
        ports = {}
        for port in [*function["inputs"], *function["outputs"]]:
            kind = np.dtype(TYPES[port["dtype"]])
            count = int(np.prod(port["shape"], dtype=np.int64))
            ports[port["name"]] = block(count * kind.itemsize)[: count * kind.itemsize].view(kind).reshape(port["shape"])
        addresses = (ctypes.c_void_p * len(ports))(*(port.ctypes.data for port in ports.values()))
        context = Context(
            self.arena.ctypes.data,
            self.state.ctypes.data,
            self.scratch.ctypes.data,
            self.stride,
            ctypes.cast(addresses, ctypes.c_void_p),
            self.parallel_for,
            self.pool,
        )
        symbol = self.code[function["symbol"]]
        symbol.restype = ctypes.c_int32
        pointer = ctypes.byref(context)

        def call(keep=(addresses, context)):
            code = symbol(pointer)
            if code != 0:
                raise RuntimeError(f"{function['symbol']} returned {code}")

        return ports, call
