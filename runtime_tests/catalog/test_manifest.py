"""`kernel.toml`: what is read, and the message for each way of getting it wrong."""

from pathlib import Path
from textwrap import dedent

import pytest

from substitute.catalog.manifest import Manifest, parse_manifest, read_manifest
from substitute.errors import ManifestError
from substitute.model.accuracy import Accuracy
from substitute.model.kernel import Constraint, Launch, OperandSpec, PayloadSpec, TargetRule
from substitute.payload.kinds import find_kind

pytestmark = pytest.mark.unit

GOOD = """\
schema = 1
name = "matmul_f32"
summary = "Matrix multiply"
slots = []
constraints = ["N % 16 == 0", "M >= 4"]
priority = 2
groups = ["M"]
dispatches = ["matmul"]

[operands]
a = { axes = ["M", "K"], strided = true }
b = ["K", "N"]
c = ["M", "N"]

[[target]]
backend = "llvm-cpu"
format = "embedded-elf-x86_64"
architectures = ["x86_64"]
features = ["avx2", "fma"]
config = { native_vector_size = 64, ukernels = false, cpu = "znver4" }

[payload]
kind = "llvm-ir"
file = "kernel.ll"
entry = "matmul"

[launch]
workgroup_size = [64, 1, 1]
workgroup_count = ["ceildiv(N, 64)", "M", "1"]
shared_memory_bytes = 1024
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in ("kernel.ll", "kernel.spv", "kernel.ptx", "generator.py", "definition.mlir"):
        (tmp_path / file).write_text("x")
    return tmp_path


def parse(folder: Path, text: str) -> Manifest:
    return parse_manifest(text, folder / "kernel.toml")


def error(folder: Path, text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        parse(folder, text)
    return str(caught.value).replace(str(folder), "DIR")


def test_every_field(folder: Path) -> None:
    manifest = parse(folder, GOOD)
    kernel = manifest.kernel
    assert manifest.definition == folder / "definition.mlir"
    assert (kernel.name, kernel.summary, kernel.abi, kernel.priority) == (
        "matmul_f32",
        "Matrix multiply",
        "canonical",
        2,
    )
    assert kernel.folder == folder
    assert kernel.forms == ()
    assert kernel.slots == frozenset()
    assert kernel.groups == {"M"}
    assert kernel.dispatches == ("matmul",)
    assert kernel.constraints == (
        Constraint(text="N % 16 == 0", axes=frozenset("N")),
        Constraint(text="M >= 4", axes=frozenset("M")),
    )
    assert kernel.operands == (
        OperandSpec(name="a", axes=("M", "K"), strided=True),
        OperandSpec(name="b", axes=("K", "N")),
        OperandSpec(name="c", axes=("M", "N")),
    )
    assert kernel.targets == (
        TargetRule(
            backend="llvm-cpu",
            format="embedded-elf-x86_64",
            architectures=("x86_64",),
            features=("avx2", "fma"),
            config=(("native_vector_size", "64"), ("ukernels", "false"), ("cpu", "znver4")),
        ),
    )
    assert kernel.payload == PayloadSpec(kind=find_kind("llvm-ir"), path=folder / "kernel.ll", entry="matmul")
    assert kernel.launch == Launch(
        workgroup_size=(64, 1, 1), workgroup_count=("ceildiv(N, 64)", "M", "1"), shared_memory_bytes=1024
    )
    assert (kernel.bindings, kernel.constants) == (None, None)


SHORT = """\
schema = 1
name = "k"
[operands]
x = ["N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-generator"
file = "generator.py"
entry = "k"
"""


def test_short_manifest_has_defaults(folder: Path) -> None:
    kernel = parse(folder, SHORT).kernel
    assert (kernel.abi, kernel.slots, kernel.groups, kernel.constraints, kernel.priority) == (
        "canonical",
        frozenset(),
        frozenset(),
        (),
        0,
    )
    assert kernel.launch == Launch()


def test_only_generators_have_parameters_to_tune(folder: Path) -> None:
    table = "\n[tune]\nrows = [4, 6]\n"
    assert "tune: only a generator has parameters to tune" in error(folder, GOOD + table)
    (folder / "generator.py").write_text("def generate(request): ...\n")
    text = GOOD.replace("llvm-ir", "llvm-generator").replace("kernel.ll", "generator.py")
    assert parse(folder, text + table).kernel.tune == (("rows", (4, 6)),)
    assert "tune.rows" in error(folder, text + "\n[tune]\nrows = []\n")


def test_spec_constants(folder: Path) -> None:
    text = GOOD.replace("llvm-ir", "spirv").replace("kernel.ll", "kernel.spv").replace("llvm-cpu", "vulkan-spirv")
    text = text.replace('entry = "matmul"', 'entry = "main"\nspec_constants = { 3 = "N", 10 = "offset.a" }')
    text = text.replace("strided = true", "strided = false")  # a SPIR-V binary is not told strides
    assert parse(folder, text).kernel.payload.spec_constants == ((3, "N"), (10, "offset.a"))
    wrong = error(folder, text.replace("offset.a", "ofset.a"))
    assert "payload.spec_constants.10: unknown axis, parameter or offset `ofset.a`" in wrong
    assert "did you mean `offset.a`?" in wrong
    wrong = error(folder, GOOD.replace('entry = "matmul"', 'entry = "main"\nspec_constants = { 3 = "N" }'))
    assert "payload.spec_constants: only SPIR-V has specialization constants" in wrong


RAW = """\
schema = 1
name = "raw"
abi = "raw"
dispatches = ["main_dispatch_0.*"]
bindings = 3
[[target]]
backend = "cuda"
[payload]
kind = "ptx"
file = "kernel.ptx"
entry = "_Z6kernelPf"
[launch]
workgroup_size = [64, 1, 1]
workgroup_count = ["16", "1", "1"]
"""


def test_raw_kernel_needs_no_definition(folder: Path) -> None:
    (folder / "definition.mlir").unlink()
    manifest = parse(folder, RAW)
    assert manifest.definition is None
    assert (manifest.kernel.bindings, manifest.kernel.constants) == (3, 0)
    assert parse(folder, RAW.replace("bindings = 3", "bindings = 3\nconstants = 2")).kernel.constants == 2
    # without a name to select by, or where the manifest names the file, it has to be there
    assert "no file `definition.mlir`" in error(folder, RAW.replace('dispatches = ["main_dispatch_0.*"]', ""))
    assert "no file `d.mlir`" in error(folder, RAW + '[definition]\nfile = "d.mlir"\n')


def test_generator_for_a_kind_of_dispatch_needs_no_definition(folder: Path) -> None:
    (folder / "definition.mlir").unlink()
    text = SHORT.replace('[operands]\nx = ["N"]\n', 'kinds = ["copy"]\n')
    assert parse(folder, text).kernel.kinds == ("copy",)
    assert "no file `definition.mlir`" in error(folder, text.replace('kinds = ["copy"]\n', ""))


def test_file_in_a_folder_below(folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src" / "g.py").write_text("x")
    assert parse(folder, SHORT.replace("generator.py", "src/g.py")).kernel.payload.path == folder / "src" / "g.py"


def test_file_in_a_folder_beside(folder: Path) -> None:
    (folder.parent / "shared").mkdir()
    (folder.parent / "shared" / "g.py").write_text("x")
    path = parse(folder, SHORT.replace("generator.py", "../shared/g.py")).kernel.payload.path
    assert path == folder.parent / "shared" / "g.py"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'name = "matmul_f32"',
            "name = 3",
            """\
            DIR/kernel.toml:2: name: has the wrong type
                 2 | name = 3
                   |        ^
              expected:  a string
              found:     the integer 3
              next:      docs/manifest.md explains the keys of kernel.toml; `iree-substitute new` writes a kernel \
that works""",
        ),
        (
            "slots = []",
            'slots = ["epilog"]',
            """\
            DIR/kernel.toml:4: slots[0]: not a known value
                 4 | slots = ["epilog"]
                   |          ^
              expected:  any of "prologue" and "epilogue", such as ["epilogue"]
              found:     the string "epilog"
              next:      did you mean `epilogue`?""",
        ),
        (
            "priority",
            "prioritty",
            """\
            DIR/kernel.toml:6: prioritty: unknown key `prioritty`
                 6 | prioritty = 2
                   | ^
              expected:  one of schema, name, summary, license, authors, abi, slots, constraints, priority, groups, \
dispatches, kinds, bindings, constants, operands, types, parameters, definition, target, payload, launch, \
executable_constant, tune, laws, keeps, not_repeatable, accuracy, alignment
              next:      did you mean `priority`?""",
        ),
        (
            "N % 16 == 0",
            "N % 16 == 0 and Q > 1",
            """\
            DIR/kernel.toml:5: constraints[0]: unknown axis `Q`
                 5 | constraints = ["N % 16 == 0 and Q > 1", "M >= 4"]
                   |                                 ^
              expected:  one of K, M, N
              next:      correct the expression""",
        ),
        (
            "[64, 1, 1]",
            "[64, 1]",
            """\
            DIR/kernel.toml:28: launch.workgroup_size: has 2 items
                28 | workgroup_size = [64, 1]
                   |                  ^
              expected:  three integers of at least 1, such as [64, 1, 1]
              found:     the array [64, 1]
              next:      docs/manifest.md explains the keys of kernel.toml; `iree-substitute new` writes a kernel \
that works""",
        ),
        (
            '"kernel.ll"',
            '"kernel.l"',
            """\
            DIR/kernel.toml:24: payload.file: there is no file `kernel.l`
                24 | file = "kernel.l"
                   |        ^
              expected:  a file DIR/kernel.l
              found:     definition.mlir, generator.py, kernel.ll, kernel.ptx, kernel.spv
              next:      did you mean `kernel.ll`?""",
        ),
        (
            "schema = 1",
            "schema = 2",
            """\
            DIR/kernel.toml:1: schema: not a known value
                 1 | schema = 2
                   |          ^
              expected:  1, the version of the schema that this iree-substitute reads
              found:     the integer 2
              next:      this kernel is made for a newer iree-substitute: upgrade it (`pip install -U \
iree-substitute`)""",
        ),
        (
            '"matmul_f32"',
            'matmul_f32"',
            """\
            DIR/kernel.toml:2: not valid TOML: invalid value
                 2 | name = matmul_f32"
                   |        ^
              expected:  TOML, with strings in quotes
              next:      correct the line; TOML is explained at https://toml.io""",
        ),
    ],
)
def test_whole_messages(folder: Path, old: str, new: str, message: str) -> None:
    assert error(folder, GOOD.replace(old, new, 1)) == dedent(message)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("schema = 1\n", "", ["kernel.toml: the key `schema` is missing", "next:"]),
        ("[payload]", "[payloads]", ["kernel.toml:22: payloads: unknown key `payloads`", "did you mean `payload`?"]),
        ('name = "matmul_f32"', 'name = "two words"', ["kernel.toml:2: name: not a valid name"]),
        ('"M", "K"], strided', '"M K", "K"], strided', ["kernel.toml:11: operands.a.axes[0]: not a valid name"]),
        ('b = ["K", "N"]', 'b = ["K", 3]', ["kernel.toml:12: operands.b[1]: has the wrong type", "the integer 3"]),
        ('b = ["K", "N"]', "b = 3", ["kernel.toml:12: operands.b: has the wrong type", "the axes of an operand"]),
        ('b = ["K", "N"]', '"b b" = ["K", "N"]', ['kernel.toml:12: operands."b b": not a name']),
        ('b = ["K", "N"]', 'b = ["min", "N"]', ["kernel.toml:12: operands.b: `min` cannot be the name of an axis"]),
        ("strided = true", "stridedd = true", ["operands.a.stridedd: unknown key", "did you mean `strided`?"]),
        ("strided = true", 'strided = true, strides = "rows"', ["`strided` and `strides` of a contradict each other"]),
        ("strided = true", 'strides = "columns"', ["operands.a.strides: not a known value"]),
        ("strided = true", "strided = 1", ["operands.a.strided: has the wrong type", "true or false"]),
        ('groups = ["M"]', 'groups = ["m"]', ["kernel.toml:7: groups[0]: unknown axis `m`", "one of K, M, N"]),
        ('["matmul"]', '["mat(mul"]', ["dispatches[0]: not a regular expression: missing ), unterminated subpattern"]),
        ('"llvm-cpu"', '"llvm-cpuu"', ["target[0].backend: not a backend of IREE", "did you mean `llvm-cpu`?"]),
        ('"llvm-cpu"', '"vulkan-spirv"', ["this backend cannot take a payload of kind `llvm-ir`"]),
        ('"avx2"', '"+avx2"', ["target[0].features[0]: not a valid name", "a CPU feature's name without `+`"]),
        ("= 64,", "= 6.4,", ["target[0].config.native_vector_size: has the wrong type", "the number 6.4"]),
        ('kind = "llvm-ir"', 'kind = "llvm_ir"', ["payload.kind: not a known value", "did you mean `llvm-ir`?"]),
        ('entry = "matmul"', 'entry = "mat mul"', ["payload.entry: not a valid name", "a symbol of letters"]),
        ('"kernel.ll"', '"../../kernel.ll"', ["payload.file: the file is outside the kernel's folder and those"]),
        ('"kernel.ll"', '"/etc/passwd"', ["payload.file: the file is outside the kernel's folder and those"]),
        ('"ceildiv(N, 64)"', '"N / 64"', ["launch.workgroup_count[0]: `/` is not an integer division"]),
        ('workgroup_count = ["ceildiv(N, 64)", "M", "1"]\n', "", ["launch: the key `workgroup_count` is missing"]),
        ("shared_memory_bytes = 1024", "shared_memory_bytes = -1", ["launch.shared_memory_bytes: too small"]),
        ("priority = 2", "bindings = 2", ["bindings: `bindings` is for raw kernels only"]),
        ("[[target]]", "[target]", ["target: has the wrong type", "at least one table [[target]]"]),
        ("priority = 2", "priority = true", ["priority: has the wrong type", "found:     true"]),
        ("priority = 2", "priority = 2\npriority = 3", ["not valid TOML: cannot overwrite a value"]),
    ],
)
def test_mistakes(folder: Path, old: str, new: str, parts: list[str]) -> None:
    assert old in GOOD
    message = error(folder, GOOD.replace(old, new, 1))
    for part in parts:
        assert part in message


def test_all_mistakes_are_named(folder: Path) -> None:
    message = error(folder, GOOD.replace("priority = 2", 'priority = "2"').replace("strided", "stridden"))
    assert message.splitlines()[0] == "DIR/kernel.toml:6: priority: has the wrong type"
    assert message.splitlines()[-2:] == [
        "  also wrong in this file:",
        "  DIR/kernel.toml:11: operands.a.stridden: unknown key `stridden`",
    ]


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("bindings = 3\n", "", "the key `bindings` is missing"),
        ("bindings = 3\n", 'bindings = 3\nslots = ["epilogue"]\n', "slots: a raw kernel has no slots"),
        ("workgroup_size = [64, 1, 1]\n", "", "launch: the key `workgroup_size` is missing"),
    ],
)
def test_raw_mistakes(folder: Path, old: str, new: str, part: str) -> None:
    assert part in error(folder, RAW.replace(old, new))


def test_slots(folder: Path) -> None:
    generated = SHORT.replace("[operands]", 'slots = ["epilogue"]\n[operands]')
    assert parse(folder, generated).kernel.slots == {"epilogue"}
    with_object = GOOD.replace("slots = []", 'slots = ["epilogue"]').replace('"llvm-ir"', '"object"')
    assert error(folder, with_object) == dedent("""\
        DIR/kernel.toml:4: slots[0]: a payload of kind `object` has no epilogue
             4 | slots = ["epilogue"]
               |          ^
          expected:  llvm-generator or llvm-ir or llvm-bitcode or c or c++ or glsl or glsl-generator or ptx
          found:     kind = "object"
          next:      remove "epilogue": fused work would be lost""")


def test_definition_needs_operands(folder: Path) -> None:
    assert "the table [operands] is missing" in error(folder, SHORT.replace('[operands]\nx = ["N"]\n', ""))


def test_link_that_leads_out_of_the_folder(folder: Path) -> None:
    (folder / "link.ll").symlink_to(__file__)
    assert "outside the kernel's folder" in error(folder, GOOD.replace("kernel.ll", "link.ll"))


def test_line_breaks_of_windows_keep_the_position(folder: Path) -> None:
    file = folder / "kernel.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("priority", "prioritty").replace("\n", "\r\n").encode())
    with pytest.raises(ManifestError) as caught:
        read_manifest(file)
    assert caught.value.source is not None
    assert (caught.value.source.line, caught.value.source.column) == (6, 1)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="the manifest cannot be read"):
        read_manifest(tmp_path / "kernel.toml")
    (tmp_path / "kernel.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ManifestError, match="the manifest is not text") as caught:
        read_manifest(tmp_path / "kernel.toml")
    assert caught.value.found == "byte 0xff at offset 8"


ACCURACY = '\n[accuracy]\nmax_error = "4·γ_K"\nrelative_to = "operands"\nreason = "Winograd"\n'


def test_a_kernel_declares_its_accuracy(folder: Path) -> None:
    assert parse(folder, GOOD).kernel.accuracy is None
    found = parse(folder, GOOD + ACCURACY).kernel.accuracy
    assert found == Accuracy(factor=4.0, axis="K", relative_to="operands", reason="Winograd")
    plain = parse(folder, GOOD + ACCURACY.replace("4·γ_K", "2.5*gamma").replace('relative_to = "operands"\n', ""))
    assert plain.kernel.accuracy == Accuracy(factor=2.5, relative_to="element", reason="Winograd")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("4·γ_K", "1e-3", "accuracy.max_error: not a bound of errors"),
        ("4·γ_K", "0.5·γ_K", "accuracy.max_error: not a bound of errors"),
        ("4·γ_K", "4·γ_Q", "accuracy.max_error: unknown axis `Q`"),
        ('"operands"', '"all"', "accuracy.relative_to: not a known value"),
        ('reason = "Winograd"\n', "", "accuracy: the key `reason` is missing"),
    ],
)
def test_an_accuracy_that_says_nothing(folder: Path, old: str, new: str, part: str) -> None:
    assert part in error(folder, GOOD + ACCURACY.replace(old, new, 1))
