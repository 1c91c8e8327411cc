"""What a checkpoint gave to a network."""

from dataclasses import dataclass
from pathlib import Path

Shape = tuple[int, ...]

_LISTED = 3  # so many tensors of a part are listed one by one, more only counted


@dataclass(frozen=True)
class LoadReport:
    """Names and shapes of tensors; `str` gives the lines to show to a user.

    loaded: in the network, from the file as they are. resampled: in the network, with the shape in the file and in the
    network. unused: in the file. missing: in the network, not in the file (or not fitting), so kept as initialised.
    """

    path: Path
    loaded: dict[str, Shape]
    resampled: dict[str, tuple[Shape, Shape]]
    unused: dict[str, Shape]
    missing: dict[str, Shape]

    def __str__(self) -> str:
        lines = [f"{self.path.name}: {len(self.loaded) + len(self.resampled)} tensors loaded"]
        for name, (before, after) in self.resampled.items():
            lines.append(f"  resampled: {name} {_text(before)} -> {_text(after)}")
        lines += [f"  unused in the file: {line}" for line in _by_part(self.unused)]
        lines += [f"  not in the file, kept as initialised: {line}" for line in _by_part(self.missing)]
        return "\n".join(lines)


def _by_part(shapes: dict[str, Shape]) -> list[str]:
    parts: dict[str, list[str]] = {}
    for name in shapes:
        parts.setdefault(name.split(".")[0], []).append(name)
    lines = []
    for part, names in parts.items():
        if len(names) > _LISTED:
            lines.append(f"{part}.* ({len(names)} tensors)")
        else:
            lines += [f"{name} {_text(shapes[name])}" for name in names]
    return lines


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
