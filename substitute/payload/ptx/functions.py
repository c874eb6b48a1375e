"""Parser of a PTX function: its header, and its body statement by statement.

Source: PTX ISA 9.0, 4.3 "Statements", 11.2 "Kernel Entry and Function Directives".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, cast

from .declarations import LINKAGES, SPACES, read_directive, read_parameters, read_registers, read_variables
from .operands import OperandParser
from .scopes import Scope, UniqueNames
from .syntax import (
    Arguments,
    Directive,
    Function,
    Guard,
    Instruction,
    Label,
    Operand,
    Parameter,
    Register,
    RegisterDeclaration,
    Span,
    Statement,
    Symbol,
    Table,
    Variable,
)
from .tokens import Tokens

_TABLES = {".branchtargets": "branchtargets", ".calltargets": "calltargets", ".callprototype": "callprototype"}
MAX_DEPTH = 64
"""Limit of nested braces."""


@dataclass(slots=True)
class _Pending:
    """Instructions of one scope that name something that may be a label further down."""

    statements: list[int] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)


class FunctionParser:
    """Parser of one function with its body."""

    def __init__(self, tokens: Tokens, module_scope: Scope) -> None:
        self._tokens = tokens
        self._scope = Scope(parent=module_scope)
        self._unique = UniqueNames(dict.fromkeys(module_scope.names, 1))
        self._operands = OperandParser(tokens, self._scope)
        self._opcodes: dict[str, tuple[str, ...]] = {}
        self._registers: list[RegisterDeclaration] = []
        self._variables: list[Variable] = []
        self._tables: list[Table] = []
        self._directives: list[Directive] = []
        self._body: list[Statement] = []
        self._pending = [_Pending()]

    def read(self, start: int, at: int) -> tuple[Function, int]:
        """Read a function and return it with the token after it. `start`: linkage or directive; `at`: `.entry` or
        `.func`.
        """
        tokens, texts = self._tokens, self._tokens.texts
        is_entry = texts[at] == ".entry"
        linkage = next((t[1:] for t in texts[start:at] if t in LINKAGES), "")
        at += 1
        results: list[Parameter] = []
        parameters: list[Parameter] = []
        while texts[at] == ".attribute":
            at = _skip_parentheses(tokens, at + 1)
        if not is_entry and texts[at] == "(":
            at = read_parameters(tokens, at, self._scope, results)
        name_at = at
        if not texts[at] or not (texts[at][0].isalpha() or texts[at][0] in "_$%"):
            raise tokens.error("a function has no name", at, ".entry NAME (…)")
        if self._scope.parent is not None:  # known in its own body, which may call it
            self._scope.parent.add(texts[name_at], Symbol(texts[name_at], "function"))
        at += 1
        opened = closed = tokens.end(name_at)
        if texts[at] == "(":
            opened = tokens.starts[at]
            at = read_parameters(tokens, at, self._scope, parameters)
            closed = tokens.end(at - 1)
        for parameter in (*results, *parameters):
            self._unique.used[parameter.name] = 1
        while texts[at][:1] == ".":
            directive, at = read_directive(tokens, at)
            self._directives.append(directive)
            at += directive.name == "pragma" and texts[at] == ";"
        body_start, body_end, at = self._read_body(at, texts[name_at])
        function = Function(
            name=texts[name_at],
            is_entry=is_entry,
            linkage=cast("Literal['', 'extern', 'visible', 'weak']", linkage),
            parameters=tuple(parameters),
            results=tuple(results),
            directives=tuple(self._directives),
            registers=tuple(self._registers),
            variables=tuple(self._variables),
            tables=tuple(self._tables),
            body=tuple(self._body) if body_end > body_start else None,
            span=tokens.span(start, at - 1),
            name_span=tokens.span(name_at, name_at),
            parameters_span=Span(opened, closed),
            body_span=Span(body_start, body_end),
        )
        return function, at

    def _read_body(self, at: int, name: str) -> tuple[int, int, int]:
        """Return the positions of the braces in the text, and the token after them."""
        tokens, texts = self._tokens, self._tokens.texts
        if texts[at] == ";":
            return tokens.starts[at], tokens.starts[at], at + 1
        if texts[at] != "{":
            raise tokens.error(f"{name} has no body", at, "{ … }")
        start = tokens.starts[at]
        opened = [at]
        at += 1
        self._push()
        while opened:
            text = texts[at]
            if text == "{":
                if len(opened) >= MAX_DEPTH:
                    raise tokens.error("braces are nested too deeply", at, f"at most {MAX_DEPTH} levels")
                opened.append(at)
                self._push()
                at += 1
            elif text == "}":
                opened.pop()
                self._pop()
                at += 1
            elif not text:
                raise tokens.error("'{' is never closed: the PTX is cut off", opened[-1], "}", "the end of the file")
            else:
                at = self._statement(at)
        return start, tokens.end(at - 1), at

    def _push(self) -> None:
        self._scope = Scope(parent=self._scope)
        self._operands.scope = self._scope
        self._pending.append(_Pending())

    def _pop(self) -> None:
        """Close a scope: names that are its labels are resolved, the rest may be labels of an outer scope."""
        assert self._scope.parent is not None
        pending, labels = self._pending.pop(), self._scope.labels
        outer = self._pending[-1]
        for at in pending.statements:
            instruction = self._body[at]
            assert isinstance(instruction, Instruction)
            operands = tuple(_resolve(o, labels) for o in instruction.operands)
            self._body[at] = replace(instruction, operands=operands)
            if any(_is_open(o) for o in operands):
                outer.statements.append(at)
        for at in pending.tables:
            table = self._tables[at]
            if table.kind == "branchtargets":
                self._tables[at] = replace(table, targets=tuple(labels.get(t, t) for t in table.targets))
        self._scope = self._scope.parent
        self._operands.scope = self._scope

    def _statement(self, at: int) -> int:
        tokens, texts = self._tokens, self._tokens.texts
        text = texts[at]
        if text[0] == ".":
            return self._directive(at)
        if texts[at + 1] == ":" and texts[at] not in ("@", "!"):
            return self._label(at)
        if text == ";":
            return at + 1
        start = at
        guard = None
        if text == "@":
            negated = texts[at + 1] == "!"
            at += 2 if negated else 1
            found = self._scope.find(texts[at])
            register = found if isinstance(found, Register) else Symbol(texts[at], "unknown")
            guard = Guard(register, negated)
            at += 1
            text = texts[at]
        opcode = self._opcodes.get(text)
        if opcode is None:
            if not text or not text[0].isalpha():
                raise tokens.error("an instruction cannot be read", at, "an instruction such as add.s32")
            opcode = self._opcodes[text] = tuple(text.split("."))
        self._operands.calls = opcode[0] == "call"
        operands, at, unresolved = self._operand_list(at + 1)
        if unresolved:
            self._pending[-1].statements.append(len(self._body))
        self._body.append(Instruction(opcode, operands, guard, Span(tokens.starts[start], tokens.starts[at] + 1)))
        return at + 1

    def _operand_list(self, at: int) -> tuple[tuple[Operand, ...], int, bool]:
        """Read up to the semicolon. Return the operands, its token, and whether a name in them is not declared so
        far.
        """
        tokens, texts, parser = self._tokens, self._tokens.texts, self._operands
        operands: list[Operand] = []
        known = self._scope.known
        parser.unresolved = False
        while texts[at] != ";":
            # a register alone, by far the most frequent operand
            found = known.get(texts[at]) if texts[at + 1] in (",", ";") else None
            if found is not None:
                operands.append(found)
                at += 1
            else:
                parser.at = at
                operands.append(parser.operand())
                at = parser.at
            if texts[at] == "," and texts[at + 1] != ";":
                at += 1
            elif texts[at] != ";":
                raise tokens.error("an instruction cannot be read", at, "an operand, ',' or ';'")
        return tuple(operands), at, parser.unresolved

    def _label(self, at: int) -> int:
        tokens, texts = self._tokens, self._tokens.texts
        name = texts[at]
        if not (name[0].isalpha() or name[0] in "_$%"):
            raise tokens.error("a label cannot be read", at, "a name")
        if texts[at + 2] in _TABLES:
            return self._table(at)
        if name in self._scope.labels:
            raise tokens.error(f"label {name} stands twice", at, "one label of a name in one scope")
        unique = self._unique.take(name)
        self._scope.labels[name] = unique
        self._body.append(Label(unique, tokens.span(at, at + 1)))
        return at + 2

    def _table(self, at: int) -> int:
        """Read `name: .branchtargets a, b;` and its relatives."""
        tokens, texts, start = self._tokens, self._tokens.texts, at
        kind = _TABLES[texts[at + 2]]
        at += 3
        targets: list[str] = []
        while texts[at] != ";":
            if not texts[at]:
                raise tokens.error(f".{kind} is never closed", at, "';'")
            if kind != "callprototype" and texts[at] != ",":
                targets.append(texts[at])
            at += 1
        name = self._unique.take(texts[start])
        self._scope.labels[texts[start]] = name
        for pending in self._pending[-1:]:
            pending.tables.append(len(self._tables))
        self._tables.append(
            Table(name=name, kind=kind, targets=tuple(targets), span=tokens.span(start, at))  # type: ignore[arg-type]
        )
        return at + 1

    def _directive(self, at: int) -> int:
        tokens, texts = self._tokens, self._tokens.texts
        word = texts[at]
        if word == ".reg":
            return read_registers(tokens, at, self._scope, self._unique, self._registers)
        if word == ".loc":
            return skip_line(tokens, at)
        if word.partition("::")[0] in SPACES or word in LINKAGES:
            return read_variables(tokens, at, self._scope, self._unique, self._variables)
        if word == ".pragma":
            directive, at = read_directive(tokens, at)
            self._directives.append(directive)
            if texts[at] != ";":
                raise tokens.error("a pragma cannot be read", at, "';'")
            return at + 1
        if word == ".file":
            return skip_line(tokens, at)
        raise tokens.error("a directive is not known here", at, ".reg, .shared, .local, .param, .loc or .pragma")


def _resolve(operand: Operand, labels: dict[str, str]) -> Operand:
    """Return the operand with the names of labels resolved."""
    if isinstance(operand, Symbol) and operand.kind == "unknown" and operand.name in labels:
        return Symbol(labels[operand.name], "label", operand.offset)
    if isinstance(operand, Arguments):
        return Arguments(tuple(_resolve(e, labels) for e in operand.elements))
    return operand


def _is_open(operand: Operand) -> bool:
    if isinstance(operand, Arguments):
        return any(_is_open(e) for e in operand.elements)
    return isinstance(operand, Symbol) and operand.kind == "unknown"


def skip_line(tokens: Tokens, at: int) -> int:
    """Return the token after the last one of the line: `.loc` and `.file` have no semicolon."""
    end = tokens.text.find("\n", tokens.starts[at])
    end = len(tokens.text) if end < 0 else end
    at += 1
    while tokens.texts[at] and tokens.starts[at] < end:
        at += 1
    return at


def _skip_parentheses(tokens: Tokens, at: int) -> int:
    start = at
    while tokens.texts[at] and tokens.texts[at] != ")":
        at += 1
    if not tokens.texts[at]:
        raise tokens.error("an attribute is never closed", start, ")")
    return at + 1
