"""Payload kinds: facts for manifest checks and matching, and the construction of the code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from .dispatch import Dispatch
    from .kernel import Kernel
    from .plan import Payload, Request

Slot = Literal["prologue", "epilogue"]


class PayloadFormat(StrEnum):
    """Format of an embedded payload; `rewrite` embeds each format."""

    BITCODE = "llvm-bitcode"
    OBJECT = "object"
    SPIRV = "spirv"
    PTX = "ptx"
    LLVM_DIALECT = "llvm-dialect"
    SPIRV_DIALECT = "spirv-dialect"
    OWN_CODE = "iree"


BODY_FORMATS = frozenset((PayloadFormat.LLVM_DIALECT, PayloadFormat.SPIRV_DIALECT, PayloadFormat.OWN_CODE))
"""Formats that leave the variant with a body; the others make it external."""


class PayloadKind(ABC):
    """One kind of payload: a subclass with class attributes that differ from these.

    Kinds that make code are subclasses of `CodeKind`; those that give IREE another body to compile are
    `substitute.payload.kinds.rewriting.BodyRewriter`s.

    The toolkit's own kinds are listed in `substitute.payload.kinds`; a package adds one through the entry-point group
    `substitute.payload_kinds`, whose entry names an instance. Only the kind itself compares its name.
    """

    name: ClassVar[str]
    """The value of `kind` in `[payload]`."""
    backends: ClassVar[tuple[str, ...]]
    """IREE's names of the backends that accept it."""
    slots: ClassVar[tuple[Slot, ...]] = ()
    """Slots that a kernel of this kind may offer."""
    sees_dispatch: ClassVar[bool] = False
    """True: the code is made for a whole dispatch, fused work included. False: it only gets its operands."""
    arguments: ClassVar[Literal["operands", "views", "none"]] = "operands"
    """Arguments of the code: the definition's operands with axes and strides, every view of the dispatch's program, or
    none.
    """
    strides: ClassVar[Literal["read", "passed", "none"]] = "passed"
    """Strided operands: the code computes their addresses, gets one stride for each dimension, or cannot use them."""
    parameters: ClassVar[Literal["passed", "constants", "none"]] = "none"
    """Parameters of a definition: the code gets each of them, those only that are known when it is made, or none."""
    needs_program: ClassVar[bool] = True
    """False: it can take a dispatch whose body cannot be read."""
    selects_by_code: ClassVar[bool] = False
    """True: the code itself decides which dispatches it takes; a manifest needs no definition, name or kind."""
    launch: ClassVar[Literal["manifest", "code", "iree"]] = "manifest"
    """Source of the launch geometry: `[launch]`, the generator, or IREE's code generation."""
    sized_backends: ClassVar[tuple[str, ...]] = ()
    """Backends for which `[launch]` has to give a workgroup size."""
    rewrites_body: ClassVar[bool] = False
    """True: IREE gets another body to compile; the dispatch is then read and matched again."""
    keeps_body: ClassVar[bool] = False
    """True: the variant keeps a body, where other kinds make it external."""
    has_file: ClassVar[bool] = True
    """False: there is no code to read, as IREE's own is kept."""
    needs_entry: ClassVar[bool] = True
    """True: the manifest has to name a function."""
    has_raw_abi: ClassVar[bool] = True
    """True: `abi = "raw"` is possible."""
    canonical_backends: ClassVar[tuple[str, ...] | None] = None
    """Backends on which the canonical ABI is possible; None: all of its backends."""
    has_spec_constants: ClassVar[bool] = False
    """True: `payload.spec_constants` are frozen into the code."""
    has_executable_constants: ClassVar[bool] = False
    """True: the code can read constants that are filled in when the module is loaded."""
    linked_suffixes: ClassVar[tuple[str, ...]] = (".o", ".a", ".bc")
    """Files that can be linked with the code; empty: the code is complete."""
    needs_object_file: ClassVar[bool] = False
    """True: IREE reads the embedded code from a file that has to outlive the tool that made it."""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<payload kind {self.name}>"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        from ..payload.kinds import find_kind

        return find_kind, (self.name,)

    def entry_name(self, kernel: Kernel, dispatch: Dispatch) -> str:
        """Return the name that the entry point gets in the module.

        On Vulkan it is the export's; on CUDA IREE replaces every character that PTX does not allow. On the CPU the code
        is linked to a shim, possibly with others, so the name has to be unique.
        """
        from ..payload.symbols import sanitize

        match dispatch.target.backend:
            case "vulkan-spirv":
                return dispatch.name
            case "llvm-cpu":
                return sanitize(f"{dispatch.name}_{kernel.name}")
            case _:
                return sanitize(dispatch.name)

    def arguments_for(self, kernel: Kernel) -> Literal["operands", "views", "none"]:
        """Return the arguments of a kernel's code; with slots they may differ from `arguments`."""
        return self.arguments

    def depends_on_program(self, kernel: Kernel) -> bool:
        """Return True if the code is made of the kernel's files and of the program, target and layout only.

        Dispatches with equal ones then share it, and it is cached between runs. A user's generator may depend on
        anything.
        """
        return False

    def refuse(self, kernel: Kernel, dispatch: Dispatch) -> str:
        """Return why the kernel's code cannot be made for a dispatch that its definition matches; empty: it can."""
        return ""

    def describe_call(self, kernel: Kernel) -> str:
        """Return how the kernel's code is called, in its author's terms: a prototype, helpers, a request."""
        from ..payload.calls import generic_call

        return generic_call(kernel)

    def load(self, kernel: Kernel) -> None:  # noqa: B027 (most kinds need nothing)
        """Preload what making code for this kernel needs; otherwise it is loaded when needed."""


class CodeKind(PayloadKind):
    """A kind whose payload is code that is embedded."""

    @abstractmethod
    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        """Make the code and verify it against the dispatch; `linked` are functions that linked objects define.

        Raises `PayloadError`.
        """

    def read_source(self, request: Request) -> tuple[str, str] | None:
        """Return the suffix and the text of the source, if the code is compiled for each dispatch.

        Raises `PayloadError`.
        """
        llvm = self.read_llvm(request)
        return None if llvm is None else (".source.ll", llvm[1])

    def read_llvm(self, request: Request) -> tuple[str, str, bool] | None:
        """Return the entry's name, the code's LLVM IR, and True if it is optimised already.

        None for code that is not made of LLVM IR. Raises `PayloadError`.
        """
        return None
