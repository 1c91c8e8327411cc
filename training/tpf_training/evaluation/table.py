"""Tables of text: aligned columns, and Markdown."""

from collections.abc import Callable

Layout = Callable[[list[str], list[list[str]]], str]  # `as_text` or `as_markdown`


def as_text(header: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    return "\n".join("  ".join(_aligned(row, widths)).rstrip() for row in [header, *rows])


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    separator = ["---"] + ["--:"] * (len(header) - 1)
    cells = ([cell.replace("|", "\\|") for cell in row] for row in [header, separator, *rows])
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    first, *others = zip(row, widths)
    return [first[0].ljust(first[1])] + [cell.rjust(width) for cell, width in others]
