"""A module of programs as text, and which line of it is whose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runtime_tests.fuzz.function import Function

PLACE = re.compile(r"fuzz\.mlir\"?:(\d+):")
"""A line of the module, in an error of the compiler."""


class Layout:
    """A module of programs, several in one function, and which line of it is whose."""

    def __init__(self, functions: Mapping[int, Function], *, together: int) -> None:
        self.functions = functions
        numbers = list(functions)
        self._groups = {
            f"f{n}": numbers[at : at + together]
            for at in range(0, len(numbers), together)
            for n in numbers[at : at + 1]
        }
        self._starts: list[tuple[int, int]] = []
        lines = ["module {"]
        for name, group in self._groups.items():
            if len(group) == 1:
                self._starts.append((len(lines) + 1, group[0]))
                lines += functions[group[0]].text(name).split("\n")
                continue
            lines.append("")
            at = len(lines) - 1
            signatures, results, types = [], [], []
            for number in group:
                self._starts.append((len(lines) + 1, number))
                head, *body = rename_values("\n".join(functions[number].parts), number).split("\n")
                arguments, _, given = head.removesuffix(" {").partition(" -> ")
                returned, _, _ = body[-2].strip().removeprefix("return ").partition(" : ")
                signatures.append(arguments[1:-1])
                types.append(given[1:-1])
                results.append(returned)
                lines += body[:-2]
            given = ", ".join(types)
            lines[at] = f"func.func @{name}({', '.join(filter(None, signatures))}) -> ({given}) {{"
            lines += [f"  return {', '.join(results)} : {given}", "}"]
        self.text = "\n".join([*lines, "}", ""]).encode()

    def number_at(self, line: int) -> int | None:
        """The program whose line it is."""
        return next((number for start, number in reversed(self._starts) if start <= line), None)

    def number_of(self, function: Any) -> int:
        """The program that a dispatch comes from, by the places that its operations name; -1 if none does."""
        for block in function.regions[0].blocks:
            for op in block.operations:
                if op.operation.name.startswith(("linalg.", "tensor.", "iree_linalg_ext.")):
                    found = PLACE.search(str(op.location))
                    number = self.number_at(int(found[1])) if found else None
                    if number is not None:
                        return number
        return -1

    def shapes(self, at: int) -> dict[str, tuple[tuple[int, ...], ...]]:
        """The shapes of all arguments of all functions in one set of sizes."""
        return {
            name: tuple(shape for number in group for shape in self.functions[number].shapes(at))
            for name, group in self._groups.items()
        }


def rename_values(text: str, number: int) -> str:
    return re.sub(r"%([A-Za-z])", rf"%p{number}_\1", text)
