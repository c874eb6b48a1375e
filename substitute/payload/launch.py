"""The launch geometry that a manifest gives."""

from __future__ import annotations

from ..errors import PayloadError
from ..model.constraints import parse_size
from ..model.index import Index, substitute
from ..model.plan import Request

Count = tuple[Index, Index, Index]


def launch_count(request: Request) -> Count:
    """Return the manifest's workgroup count, over the dispatch's own sizes."""
    kernel, match = request.substitution.kernel, request.match
    texts = kernel.launch.workgroup_count
    if texts is None:
        raise PayloadError(
            f"nobody says how many workgroups {kernel.name} needs",
            where=str(kernel.folder / "kernel.toml"),
            expected="[launch] workgroup_count, or a generator that returns Generated",
            found="neither",
            next_step='add workgroup_count = ["…", "1", "1"]',
        )
    sizes = {axis.name: axis.size for axis in match.axes}
    x, y, z = (substitute(parse_size(text, sizes, where=str(kernel.folder)), sizes) for text in texts)
    return x, y, z
