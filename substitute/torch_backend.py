"""`torch.compile(model, backend="iree_substitute")`: PyTorch's graphs, compiled with kernels in place of IREE's code.

`options` are `kernels` (folders), `builtin` (False leaves the built-in kernels out), `flags` (iree-compile's), `device`
(IREE's name, `local-task` by default), `check` and `require` as for `compile_model`, and `report`, a function that gets
the `CompileResult` of each graph. iree-turbine imports the graph; a parameter of the model is copied to the device
once, and again when it changes. A graph that records gradients stays PyTorch's, with a warning. Install the extra
`torch`.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError

if TYPE_CHECKING:
    import torch

    from .device import Session
    from .pipeline import CompileResult

OPTIONS = ("kernels", "builtin", "flags", "device", "check", "require", "report")


def backend(
    graph: torch.fx.GraphModule, example_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Return the compiled graph, for `torch.compile`. Raises `SubstituteError`."""
    given = dict(options or {})
    unknown = sorted(given.keys() - set(OPTIONS))
    if unknown:
        raise UsageError(
            "the backend iree_substitute does not have these options",
            where="torch.compile(…, options=…)",
            expected=f"any of {', '.join(OPTIONS)}",
            found=", ".join(unknown),
        )
    lists = [name for name in ("kernels", "flags", "require") if isinstance(given.get(name), str | Path)]
    if lists or not callable(given.get("report", print)):
        name = lists[0] if lists else "report"
        raise UsageError(
            f"the option {name} of the backend iree_substitute has the wrong type",
            where="torch.compile(…, options=…)",
            expected=f"a list, such as {name}=[{given[name]!r}]" if lists else "a function of one argument",
            found=repr(given[name]),
        )
    missing = _missing_packages()
    if missing:
        raise UsageError(
            f"the backend iree_substitute needs {' and '.join(missing)}",
            where='torch.compile(…, backend="iree_substitute")',
            expected="the extra `torch`",
            found=f"no {missing[0]}",
            next_step="pip install 'iree-substitute[torch]'",
        )
    from torch._dynamo.backends.common import aot_autograd

    def compile_graph(part: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        return _boxed(_compile(part, inputs, given))

    compiler = aot_autograd(fw_compiler=_leave, bw_compiler=_leave, inference_compiler=compile_graph)
    return compiler(graph, example_inputs)  # type: ignore[no-any-return]


def _leave(part: torch.fx.GraphModule, _inputs: Sequence[Any]) -> Callable[..., Any]:
    warnings.warn(
        "iree_substitute leaves a graph that records gradients to PyTorch; call the model under torch.no_grad()",
        stacklevel=2,
    )
    return _boxed(part.forward)


def _missing_packages() -> list[str]:
    from importlib.util import find_spec

    def is_there(module: str) -> bool:
        try:
            return find_spec(module) is not None
        except ModuleNotFoundError:
            return False

    return [name for name, module in (("torch", "torch"), ("iree-turbine", "iree.turbine")) if not is_there(module)]


def _boxed(run: Callable[..., Any]) -> Callable[..., Any]:
    from functorch.compile import make_boxed_func

    return make_boxed_func(run)  # type: ignore[no-any-return]


def _compile(graph: torch.fx.GraphModule, inputs: Sequence[Any], options: Mapping[str, Any]) -> Callable[..., Any]:
    from .device import Session
    from .pipeline import compile_model
    from .validate.targets import flags_for

    device = options.get("device", "local-task")
    with tempfile.TemporaryDirectory(prefix="iree-substitute-torch-") as folder:
        model = Path(folder, "graph.mlir")
        model.write_text(_import(graph, inputs), encoding="utf-8")
        result: CompileResult = compile_model(
            model,
            kernels=options.get("kernels", ()),
            builtin=options.get("builtin", True),
            flags=flags_for(device, tuple(options.get("flags", ()))),
            require=options.get("require", ()),
            check=options.get("check"),
        )
    if "report" in options:
        options["report"](result)
    return _Graph(Session(result.vmfb, device=device), _list_tensors(graph))


def _list_tensors(graph: torch.fx.GraphModule) -> list[bool]:
    """Return for each result of a graph whether it is a tensor; the others are sizes."""
    import torch

    results = next(node for node in graph.graph.nodes if node.op == "output").args[0]
    return [isinstance(getattr(one, "meta", {}).get("val"), torch.Tensor) for one in results]


def _import(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> str:
    """Return the graph as MLIR of the dialect torch, with a function `main`."""
    from iree.compiler.extras.fx_importer import FxImporter
    from iree.turbine.dynamo.passes import turbine_cpu_pass_pipeline
    from iree.turbine.transforms.general.custom_op_expansion import ExpandCustomOpsPass

    importer = FxImporter()
    importer.import_graph_module(turbine_cpu_pass_pipeline(graph, inputs))
    ExpandCustomOpsPass(importer.module_op).run()
    return str(importer.module_op)


class _Graph:
    """A compiled graph. A class, because it keeps the parameters that are on the device."""

    def __init__(self, session: Session, tensors: Sequence[bool]) -> None:
        self._session, self._tensors = session, tensors
        self._placed: dict[int, tuple[torch.Tensor, int, Any]] = {}
        """Place of an argument → the parameter, its version, and its copy on the device."""

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        values = [self._value(at, argument) for at, argument in enumerate(arguments)]
        results = zip(self._session.call("main", values), self._tensors, strict=True)
        return tuple(_to_torch(value) if is_tensor else int(value) for value, is_tensor in results)

    def _value(self, at: int, argument: Any) -> Any:
        import torch

        if not isinstance(argument, torch.nn.Parameter):
            return _to_numpy(argument)
        known = self._placed.get(at)
        if known is None or known[0] is not argument or known[1] != argument._version:
            known = (argument, argument._version, self._session.put(_to_numpy(argument)))
            self._placed[at] = known
        return known[2]


def _to_numpy(value: Any) -> Any:
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if value.device.type != "cpu":
        raise UsageError(
            "the backend iree_substitute takes tensors in the CPU's memory",
            where="torch.compile(…)",
            expected="a tensor of the device cpu",
            found=str(value.device),
            next_step="move the model and its inputs with .cpu(); `device` in options names the device that runs them",
        )
    tensor = value.detach().resolve_neg().resolve_conj()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _to_torch(value: Any) -> torch.Tensor:
    import numpy as np
    import torch

    if value.dtype.name == "bfloat16":
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
