"""The corpus command itself: what it calls right and wrong, and how it reads a suite."""

import numpy as np
import pytest

from runtime_tests.ptx_corpus.__main__ import main, print_table
from runtime_tests.ptx_corpus.jit import llvm_cases
from runtime_tests.ptx_corpus.outcomes import Case, Corpus, Expected, judge
from runtime_tests.ptx_corpus.zluda import zluda

pytestmark = pytest.mark.unit
KERNEL = """.version 8.0
.target sm_80
.address_size 64
.visible .entry {name}(.param .u64 input, .param .u64 output)
{{ .reg .b64 %i, %o; .reg .f32 %v; ld.param.u64 %i, [input]; ld.param.u64 %o, [output]; ld.global.f32 %v, [%i];
  {body} st.global.f32 [%o], %v; ret; }}
"""


def case(body: str, want: float) -> Case:
    return Case(
        name="k",
        ptx=KERNEL.format(name="k", body=body),
        entry="k",
        block=(1, 1, 1),
        arguments=(np.ones(1, "f4"), Expected(np.array([want], "f4"))),
    )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("add.f32 %v, %v, %v;", "right"),
        ("", "wrong"),
        ("mapa.shared::cluster.u32 %x, %x, 0;", "unreadable"),
        (".reg .b32 %x; mapa.shared::cluster.u32 %x, %x, 0;", "refused"),
        ("add.f32", "unreadable"),
        ("add.f32 %v, %v, %v; .reg .b32 %x, %y; add.u32 %x, %y, 1; st.global.u32 [%o], %x;", "finding"),
    ],
)
def test_outcomes(body, kind):
    assert judge(case(body, 2.0)).kind in ({"unreadable", "refused"} if kind == "unreadable" else {kind})


def test_llvm():
    assert [judge(one).kind for one in llvm_cases()] == ["right", "right"]


def test_a_compiler_that_fails_is_said(capsys):
    def cases():
        raise OSError("no library")

    print_table([Corpus("broken", cases).run()])
    assert "| broken | cannot be made: OSError: no library |" in capsys.readouterr().out


def test_suite(tmp_path, capsys):
    """A small suite in the form of ZLUDA's: one right, one wrong, and lists that are not supported."""
    folder = tmp_path / "ptx/src/test/spirv_run"
    folder.mkdir(parents=True)
    (folder / "mod.rs").write_text(
        "test_ptx!(double, [1.5f32], [3f32]);\n"
        "// test_ptx!(hidden, [1u32], [1u32]);\n"
        "test_ptx!(\n    wrong,\n    [f32::NAN, 1f32], // nan\n    [0.5f32]\n);\n"
        "test_ptx!(strange, [some_call(3)], [1u32]);\ntest_ptx!(compiled_only);\n"
    )
    for name in ("double", "wrong", "strange"):
        (folder / f"{name}.ptx").write_text(KERNEL.format(name=name, body="add.f32 %v, %v, %v;"))
    corpus = zluda(tmp_path).run()
    assert [(one.case, one.kind) for one in corpus.outcomes] == [("double", "right"), ("wrong", "wrong")]
    assert main(["--only", "zluda", "--suite", "zluda", str(tmp_path)]) == 1
    assert "| ZLUDA's PTX tests | 2 | 1 | 0 | 1 | 0 | 0 |" in capsys.readouterr().out
    assert "no ptx/src/test/spirv_run/mod.rs there" in zluda(tmp_path / "none").run().row()


def test_suites_that_are_not_known():
    with pytest.raises(SystemExit):
        main(["--suite", "other", "folder"])
