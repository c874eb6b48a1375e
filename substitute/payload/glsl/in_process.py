"""glslang as a library in this process, since the program would start anew for every shader.

Starting, glslang builds tables of everything that GLSL predefines, which takes many times longer than a shader. The
functions are those of glslang's C interface (glslang/Include/glslang_c_interface.h, version 13).
"""

from __future__ import annotations

import ctypes
import re
from functools import lru_cache
from pathlib import Path
from threading import Lock

VERSION = 13
"""Version of the library that the layout of `_Input` belongs to."""
_LIBRARIES = ("glslang", "glslang-default-resource-limits", "SPIRV")
"""Libraries in the order of loading: the last one needs functions of the first."""

_GLSL, _COMPUTE, _VULKAN, _SPIRV, _NO_PROFILE, _NO_VERSION = 1, 5, 1, 1, 1, 110
_MESSAGES = 1 << 3 | 1 << 4  # the rules of SPIR-V, and those of Vulkan
_ENVIRONMENTS = {
    f"vulkan1.{minor}": (1 << 22 | minor << 12, 1 << 16 | spirv << 8) for minor, spirv in enumerate((0, 3, 5, 6))
}
"""Codes of Vulkan's version, and of the newest SPIR-V that it must accept."""
_PLAIN = re.compile(r"#version 4[3-6]0( core)?\n")
"""Versions of GLSL that work with these settings; for others, the library fails on its own built-ins and prints
them."""
_first_use = Lock()


class _Input(ctypes.Structure):
    _fields_ = (
        ("language", ctypes.c_int),
        ("stage", ctypes.c_int),
        ("client", ctypes.c_int),
        ("client_version", ctypes.c_int),
        ("target_language", ctypes.c_int),
        ("target_language_version", ctypes.c_int),
        ("code", ctypes.c_char_p),
        ("default_version", ctypes.c_int),
        ("default_profile", ctypes.c_int),
        ("force_default_version_and_profile", ctypes.c_int),
        ("forward_compatible", ctypes.c_int),
        ("messages", ctypes.c_int),
        ("resource", ctypes.c_void_p),
        ("include_system", ctypes.c_void_p),
        ("include_local", ctypes.c_void_p),
        ("free_include_result", ctypes.c_void_p),
        ("callbacks_ctx", ctypes.c_void_p),
    )


def compile_in_process(source: str, *, program: Path, vulkan: str) -> bytes | None:
    """Return the binary of a compute shader; None if only `program` can report the error, or there is no library."""
    with _first_use:
        library = _load(program.parent.parent / "lib")
    if library is None or vulkan not in _ENVIRONMENTS or not _PLAIN.match(source) or "\0" in source:
        return None
    client_version, spirv_version = _ENVIRONMENTS[vulkan]
    request = _Input(
        language=_GLSL,
        stage=_COMPUTE,
        client=_VULKAN,
        client_version=client_version,
        target_language=_SPIRV,
        target_language_version=spirv_version,
        code=source.encode(),
        default_version=_NO_VERSION,
        default_profile=_NO_PROFILE,
        messages=_MESSAGES,
        resource=library.resource,
    )
    return library.compile(request)


class _Library:
    def __init__(self, parts: tuple[ctypes.CDLL, ...]) -> None:
        self._front, limits, self._back = parts
        for part, name, result, arguments in (
            (self._front, "glslang_initialize_process", ctypes.c_int, ()),
            (self._front, "glslang_shader_create", ctypes.c_void_p, (ctypes.POINTER(_Input),)),
            (self._front, "glslang_shader_preprocess", ctypes.c_int, (ctypes.c_void_p, ctypes.POINTER(_Input))),
            (self._front, "glslang_shader_parse", ctypes.c_int, (ctypes.c_void_p, ctypes.POINTER(_Input))),
            (self._front, "glslang_shader_delete", None, (ctypes.c_void_p,)),
            (self._front, "glslang_program_create", ctypes.c_void_p, ()),
            (self._front, "glslang_program_add_shader", None, (ctypes.c_void_p, ctypes.c_void_p)),
            (self._front, "glslang_program_link", ctypes.c_int, (ctypes.c_void_p, ctypes.c_int)),
            (self._front, "glslang_program_delete", None, (ctypes.c_void_p,)),
            (self._back, "glslang_program_SPIRV_generate", None, (ctypes.c_void_p, ctypes.c_int)),
            (self._back, "glslang_program_SPIRV_get_size", ctypes.c_size_t, (ctypes.c_void_p,)),
            (self._back, "glslang_program_SPIRV_get_ptr", ctypes.c_void_p, (ctypes.c_void_p,)),
            (limits, "glslang_default_resource", ctypes.c_void_p, ()),
        ):
            function = getattr(part, name)
            function.restype, function.argtypes = result, arguments
        self.resource = limits.glslang_default_resource()
        self._front.glslang_initialize_process()

    def compile(self, request: _Input) -> bytes | None:
        front, back = self._front, self._back
        shader, program = front.glslang_shader_create(request), front.glslang_program_create()
        try:
            if not front.glslang_shader_preprocess(shader, request) or not front.glslang_shader_parse(shader, request):
                return None
            front.glslang_program_add_shader(program, shader)
            if not front.glslang_program_link(program, _MESSAGES):
                return None
            back.glslang_program_SPIRV_generate(program, _COMPUTE)
            words = back.glslang_program_SPIRV_get_size(program)
            return ctypes.string_at(back.glslang_program_SPIRV_get_ptr(program), 4 * words) if words else None
        finally:
            front.glslang_program_delete(program)
            front.glslang_shader_delete(shader)


@lru_cache(maxsize=4)
def _load(folder: Path) -> _Library | None:
    """Return the library in a folder; None if there is none of this version."""
    try:
        parts = tuple(ctypes.CDLL(str(folder / f"lib{n}.so.{VERSION}"), ctypes.RTLD_GLOBAL) for n in _LIBRARIES)
        return _Library(parts)
    except (OSError, AttributeError):
        return None
