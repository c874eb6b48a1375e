"""Right kernels as LLVM IR, against the canonical ABI: pointers, then axes, then the workgroup's x, y and z."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from runtime_tests.faults.definitions import DEFINITIONS
from runtime_tests.faults.kernel import Variant

MINUS_INFINITY = "0xFFF0000000000000"


class Writer:
    """Writes one function, loop by loop, as a person would: one instruction a line, with names that say something."""

    def __init__(self, definition: str) -> None:
        self.definition = DEFINITIONS[definition]
        axes = dict.fromkeys(a for _, names, _ in self.definition.operands for a in names)
        parameters = [f"ptr %{name}" for name, _, _ in self.definition.operands] + [f"i64 %{a}_" for a in axes]
        parameters += [f"i64 %id_{i}" for i in "xyz"]
        self.lines = [f"define void @kernel({', '.join(parameters)}) {{", "entry:"]
        self.block, self.count, self.declared = "entry", 0, dict[str, None]()

    def emit(self, text: str, name: str = "v") -> str:
        """One instruction that gives a value; its name."""
        self.count += 1
        self.lines.append(f"  %{name}{self.count} = {text}")
        return f"%{name}{self.count}"

    def do(self, text: str) -> None:
        """One instruction that gives none."""
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    @contextmanager
    def loop(self, name: str, stop: str, start: str = "0", step: str = "1") -> Iterator[str]:
        """`for (name = start; name < stop; name += step)`; yields the index."""
        before = self.block
        self.do(f"br label %{name}_head")
        self.label(f"{name}_head")
        self.do(f"%{name} = phi i64 [ {start}, %{before} ], [ %{name}_next, %{name}_latch ]")
        self.do(f"%{name}_more = icmp slt i64 %{name}, {stop}")
        self.do(f"br i1 %{name}_more, label %{name}_body, label %{name}_done")
        self.label(f"{name}_body")
        yield f"%{name}"
        self.do(f"br label %{name}_latch")
        self.label(f"{name}_latch")
        self.do(f"%{name}_next = add i64 %{name}, {step}")
        self.do(f"br label %{name}_head")
        self.label(f"{name}_done")

    def variable(self, name: str, type_: str) -> str:
        """A place for an accumulator, on the stack (LLVM keeps it in a register)."""
        self.lines.insert(2, f"  %{name} = alloca {type_}")
        return f"%{name}"

    def index(self, row: str, size: str, column: str) -> str:
        """row · size + column."""
        return self.emit(f"add i64 {self.emit(f'mul i64 {row}, {size}', 'start')}, {column}", "at")

    def load(self, type_: str, pointer: str, at: str) -> str:
        place = self.emit(f"getelementptr {type_}, ptr {pointer}, i64 {at}", "place")
        return self.emit(f"load {type_}, ptr {place}", "loaded")

    def store(self, type_: str, value: str, pointer: str, at: str) -> None:
        place = self.emit(f"getelementptr {type_}, ptr {pointer}, i64 {at}", "place")
        self.do(f"store {type_} {value}, ptr {place}")

    def accumulate(self, place: str, op: str, value: str, type_: str = "float") -> None:
        before = self.emit(f"load {type_}, ptr {place}", "before")
        self.do(f"store {type_} {self.emit(f'{op} {type_} {before}, {value}', 'total')}, ptr {place}")

    def call(self, function: str, *values: str, type_: str = "float") -> str:
        self.declared[f"declare {type_} @{function}({', '.join([type_] * len(values))})"] = None
        return self.emit(f"call {type_} @{function}({', '.join(f'{type_} {v}' for v in values)})", "called")

    def text(self) -> str:
        self.do("ret void")
        return "\n".join((*self.lines, "}", "", *self.declared)) + "\n"


def _dot(w: Writer, left: Callable[[str], str], right: Callable[[str], str], size: str, how: str) -> str:
    """Σk left · right; `how` names the element types."""
    total = "i32" if how == "i8" else "float"
    sum_ = w.variable("sum", total)
    w.do(f"store {total} {'0' if how == 'i8' else '0.0'}, ptr {sum_}")
    with w.loop("k", size) as k:
        element = {"f32": "float", "f16": "half", "i8": "i8"}[how]
        x, y = w.load(element, "%a", left(k)), w.load(element, "%b", right(k))
        if how == "f16":
            x, y = w.emit(f"fpext half {x} to float", "wide"), w.emit(f"fpext half {y} to float", "wide")
        if how == "i8":
            x, y = w.emit(f"sext i8 {x} to i32", "wide"), w.emit(f"sext i8 {y} to i32", "wide")
        product = w.emit(f"{'mul i32' if how == 'i8' else 'fmul contract float'} {x}, {y}", "product")
        w.accumulate(sum_, "add" if how == "i8" else "fadd contract", product, total)
    return w.emit(f"load {total}, ptr {sum_}", "done")


def _matmul_rows(definition: str, how: str = "f32") -> str:
    w = Writer(definition)
    with w.loop("n", "%N_") as n:
        transposed = definition == "matmul_transposed"
        total = _dot(
            w,
            lambda k: w.index("%id_x", "%K_", k),
            lambda k: w.index(n, "%K_", k) if transposed else w.index(k, "%N_", n),
            "%K_",
            how,
        )
        w.store("i32" if how == "i8" else "float", total, "%c", w.index("%id_x", "%N_", n))
    return w.text()


def _matmul_cleared() -> str:
    """Loop order m, k, n: the row is cleared and added to."""
    w = Writer("matmul")
    with w.loop("clear", "%N_") as n:
        w.store("float", "0.0", "%c", w.index("%id_x", "%N_", n))
    with w.loop("k", "%K_") as k:
        factor = w.load("float", "%a", w.index("%id_x", "%K_", k))
        with w.loop("n", "%N_") as n:
            product = w.emit(f"fmul contract float {factor}, {w.load('float', '%b', w.index(k, '%N_', n))}", "product")
            place = w.emit(f"getelementptr float, ptr %c, i64 {w.index('%id_x', '%N_', n)}", "place")
            w.accumulate(place, "fadd contract", product)
    return w.text()


def _matmul_tiled() -> str:
    """Tiles of 8 rows by 16 columns, cut at the edges."""
    w = Writer("matmul")
    first_m, first_n = w.emit("mul i64 %id_y, 8", "first"), w.emit("mul i64 %id_x, 16", "first")
    ends = []
    for first, size, most in ((first_m, "8", "%M_"), (first_n, "16", "%N_")):
        end = w.emit(f"add i64 {first}, {size}", "end")
        ends.append(w.call("llvm.smin.i64", end, most, type_="i64"))
    with w.loop("m", ends[0], first_m) as m, w.loop("n", ends[1], first_n) as n:
        total = _dot(w, lambda k: w.index(m, "%K_", k), lambda k: w.index(k, "%N_", n), "%K_", "f32")
        w.store("float", total, "%c", w.index(m, "%N_", n))
    return w.text()


def _batch_matmul() -> str:
    w = Writer("batch_matmul")
    with w.loop("n", "%N_") as n:
        row = w.index("%id_y", "%M_", "%id_x")

        def right(k: str) -> str:
            return w.index(w.index("%id_y", "%K_", k), "%N_", n)

        total = _dot(w, lambda k: w.index(row, "%K_", k), right, "%K_", "f32")
        w.store("float", total, "%c", w.index(row, "%N_", n))
    return w.text()


def _matvec() -> str:
    w = Writer("matvec")
    total = _dot(w, lambda k: w.index("%id_x", "%K_", k), lambda k: k, "%K_", "f32")
    w.store("float", total, "%c", "%id_x")
    return w.text()


def _row_reduction(definition: str) -> str:
    w = Writer(definition)
    best = w.variable("best", "float")
    largest = definition == "row_max"
    w.do(f"store float {MINUS_INFINITY if largest else '0.0'}, ptr {best}")
    with w.loop("n", "%N_") as n:
        x = w.load("float", "%x", w.index("%id_x", "%N_", n))
        if largest:
            before = w.emit(f"load float, ptr {best}", "before")
            w.do(f"store float {w.call('llvm.maximum.f32', before, x)}, ptr {best}")
        else:
            w.accumulate(best, "fadd", x)
    w.store("float", w.emit(f"load float, ptr {best}", "done"), "%y", "%id_x")
    return w.text()


def _softmax() -> str:
    w = Writer("softmax")
    best, sum_ = w.variable("best", "float"), w.variable("sum", "float")
    w.do(f"store float {MINUS_INFINITY}, ptr {best}")
    w.do(f"store float 0.0, ptr {sum_}")
    with w.loop("a", "%N_") as n:
        x = w.load("float", "%x", w.index("%id_x", "%N_", n))
        before = w.emit(f"load float, ptr {best}", "before")
        w.do(f"store float {w.call('llvm.maximum.f32', before, x)}, ptr {best}")
    most = w.emit(f"load float, ptr {best}", "most")
    with w.loop("b", "%N_") as n:
        at = w.index("%id_x", "%N_", n)
        centred = w.emit(f"fsub float {w.load('float', '%x', at)}, {most}", "centred")
        e = w.call("expf", centred)
        w.store("float", e, "%y", at)
        w.accumulate(sum_, "fadd", e)
    total = w.emit(f"load float, ptr {sum_}", "total")
    with w.loop("c", "%N_") as n:
        at = w.index("%id_x", "%N_", n)
        w.store("float", w.emit(f"fdiv float {w.load('float', '%y', at)}, {total}", "share"), "%y", at)
    return w.text()


@contextmanager
def _block_of(w: Writer, size: int = 256) -> Iterator[str]:
    """Elements id_x · size … of N, cut at the end."""
    first = w.emit(f"mul i64 %id_x, {size}", "first")
    end = w.call("llvm.smin.i64", w.emit(f"add i64 {first}, {size}", "end"), "%N_", type_="i64")
    with w.loop("n", end, first) as n:
        yield n


def _elementwise(definition: str) -> str:
    w = Writer(definition)
    with _block_of(w) as n:
        result, value = _BODIES[definition](w, n)
        w.store(result, value, "%y", n)
    return w.text()


def _difference(w: Writer, n: str) -> tuple[str, str]:
    double = w.emit(f"fmul float {w.load('float', '%a', n)}, 2.0", "double")
    return "float", w.emit(f"fsub float {double}, {w.load('float', '%b', n)}", "done")


def _silu(w: Writer, n: str) -> tuple[str, str]:
    x = w.load("float", "%x", n)
    e = w.call("expf", w.emit(f"fneg float {x}", "negated"))
    return "float", w.emit(f"fdiv float {x}, {w.emit(f'fadd float {e}, 1.0', 'below')}", "done")


def _gelu(w: Writer, n: str) -> tuple[str, str]:
    x = w.load("float", "%x", n)
    e = w.call("erff", w.emit(f"fmul float {x}, 0x3FE6A09E60000000", "scaled"))
    half = w.emit(f"fmul float {x}, 0.5", "half")
    return "float", w.emit(f"fmul float {half}, {w.emit(f'fadd float {e}, 1.0', 'above')}", "done")


def _clamp(w: Writer, n: str) -> tuple[str, str]:
    low = w.call("llvm.maximum.f32", w.load("float", "%x", n), "0.0")
    return "float", w.call("llvm.minimum.f32", low, "6.0")


def _narrowed(w: Writer, n: str) -> tuple[str, str]:
    return "half", w.emit(f"fptrunc float {w.load('float', '%x', n)} to half", "narrow")


def _sum_bf16(w: Writer, n: str) -> tuple[str, str]:
    x, y = (w.emit(f"fpext bfloat {w.load('bfloat', p, n)} to float", "wide") for p in ("%a", "%b"))
    sum_ = w.emit(f"fadd float {x}, {y}", "sum")
    bits = w.emit(f"bitcast float {sum_} to i32", "bits")
    # to the nearest, ties to even: IREE links no function that narrows to bfloat
    odd = w.emit(f"and i32 {w.emit(f'lshr i32 {bits}, 16', 'last')}, 1", "odd")
    carried = w.emit(f"add i32 {w.emit(f'add i32 {bits}, 32767', 'nearly')}, {odd}", "carried")
    number = w.emit(f"fcmp ord float {sum_}, 0.0", "number")
    chosen = w.emit(f"select i1 {number}, i32 {carried}, i32 2143289344", "chosen")
    return "i16", w.emit(f"trunc i32 {w.emit(f'lshr i32 {chosen}, 16', 'high')} to i16", "narrow")


def _integers(w: Writer, n: str) -> tuple[str, str]:
    x, y = w.load("i32", "%a", n), w.load("i32", "%b", n)
    square = w.emit(f"mul i32 {x}, {x}", "square")
    larger = w.emit(f"icmp sgt i32 {square}, {y}", "larger")
    return "i32", w.emit(f"sub i32 {w.emit(f'select i1 {larger}, i32 {square}, i32 {y}', 'most')}, {y}", "done")


def _dequantized(w: Writer, n: str) -> tuple[str, str]:
    wide = w.emit(f"sext i8 {w.load('i8', '%x', n)} to i32", "wide")
    number = w.emit(f"sitofp i32 {w.emit(f'sub i32 {wide}, 3', 'moved')} to float", "number")
    return "float", w.emit(f"fmul float {number}, 0.125", "done")


_BODIES: Mapping[str, Callable[[Writer, str], tuple[str, str]]] = {
    "difference": _difference,
    "silu": _silu,
    "gelu": _gelu,
    "clamp": _clamp,
    "narrowed": _narrowed,
    "sum_bf16": _sum_bf16,
    "integers": _integers,
    "dequantized": _dequantized,
}


def _bias_add() -> str:
    w = Writer("bias_add")
    with w.loop("n", "%N_") as n:
        at = w.index("%id_x", "%N_", n)
        w.store("float", w.emit(f"fadd float {w.load('float', '%a', at)}, {w.load('float', '%b', n)}", "sum"), "%y", at)
    return w.text()


def _transpose() -> str:
    w = Writer("transpose")
    with w.loop("n", "%N_") as n:
        w.store("float", w.load("float", "%x", w.index("%id_x", "%N_", n)), "%y", w.index(n, "%M_", "%id_x"))
    return w.text()


def _gather() -> str:
    w = Writer("gather")
    row = w.emit(f"sext i32 {w.load('i32', '%i', '%id_x')} to i64", "row")
    with w.loop("n", "%N_") as n:
        w.store("float", w.load("float", "%t", w.index(row, "%N_", n)), "%y", w.index("%id_x", "%N_", n))
    return w.text()


ROWS, BLOCKS = ("M", "1", "1"), ("ceildiv(N, 256)", "1", "1")


def llvm_kernels() -> dict[str, tuple[str, str, tuple[str, str, str]]]:
    """Name → definition, text, workgroup count."""
    found: dict[str, tuple[str, str, tuple[str, str, str]]] = {
        "matmul_dot": ("matmul", _matmul_rows("matmul"), ROWS),
        "matmul_cleared": ("matmul", _matmul_cleared(), ROWS),
        "matmul_tiled": ("matmul", _matmul_tiled(), ("ceildiv(N, 16)", "ceildiv(M, 8)", "1")),
        "matmul_transposed": ("matmul_transposed", _matmul_rows("matmul_transposed"), ROWS),
        "matmul_f16": ("matmul_f16", _matmul_rows("matmul_f16", "f16"), ROWS),
        "matmul_i8": ("matmul_i8", _matmul_rows("matmul_i8", "i8"), ROWS),
        "batch_matmul": ("batch_matmul", _batch_matmul(), ("M", "B", "1")),
        "matvec": ("matvec", _matvec(), ROWS),
        "row_sum": ("row_sum", _row_reduction("row_sum"), ROWS),
        "row_max": ("row_max", _row_reduction("row_max"), ROWS),
        "softmax": ("softmax", _softmax(), ROWS),
        "bias_add": ("bias_add", _bias_add(), ROWS),
        "transpose": ("transpose", _transpose(), ROWS),
        "gather": ("gather", _gather(), ROWS),
    }
    return found | {name: (name, _elementwise(name), BLOCKS) for name in _BODIES}


BITCODE = ("matmul_tiled", "softmax", "row_max", "integers", "transpose", "silu")
OBJECTS = ("matmul_dot", "matmul_f16", "row_sum", "difference", "dequantized", "bias_add")


def llvm_controls() -> list[Variant]:
    """The right kernels as text, some as bitcode and as objects too."""
    found = []
    for name, (definition, text, count) in llvm_kernels().items():
        kinds = ["llvm-ir", *(["llvm-bitcode"] if name in BITCODE else []), *(["object"] if name in OBJECTS else [])]
        short = {"llvm-ir": "ll", "llvm-bitcode": "bc", "object": "o"}
        found += [
            Variant(name=f"{name}.{short[k]}", definition=definition, kind=k, source=text, workgroup_count=count)
            for k in kinds
        ]
    return found
