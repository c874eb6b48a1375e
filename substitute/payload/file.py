"""The file that holds a kernel's code."""

from __future__ import annotations

from ..errors import PayloadError
from ..model.kernel import Kernel


def read_code(kernel: Kernel) -> bytes:
    """Read the kernel's code. Raises `PayloadError`."""
    try:
        return kernel.payload.path.read_bytes()
    except OSError as error:
        raise PayloadError(
            "the payload cannot be read",
            where=str(kernel.payload.path),
            expected="a file",
            found=error.strerror or str(error),
            next_step="check `file` in kernel.toml",
        ) from None


def check_content(kernel: Kernel, data: bytes, expected: str) -> None:
    """Check that the code begins as its kind does. Raises `PayloadError`."""
    from .sniff import sniff

    found = sniff(data)
    if not found.startswith(expected):
        raise PayloadError(
            f"the payload of {kernel.name} is not what kernel.toml says",
            where=str(kernel.payload.path),
            expected=f"{expected} (kind = {kernel.payload.kind})",
            found=found,
            next_step="correct `kind` or `file` in [payload]",
        )
