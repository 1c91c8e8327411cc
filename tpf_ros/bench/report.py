"""Rows as a table on the screen, and on the page in docs."""

from pathlib import Path

BEGIN, END = "<!-- tpf bench -->", "<!-- end of tpf bench -->"


def as_text(row: dict) -> str:
    """One line."""
    return f"{row['name']:32} {_value(row):34} {_target(row):12} {_verdict(row)}".rstrip()


def as_markdown(rows: list[dict]) -> str:
    """The table, what is behind its numbers, and the machines."""
    lines = ["| what | measured | target | | on |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = (f"{row['what']} (`{row['name']}`)", _value(row), _target(row), _verdict(row), row["device"] or "")
        lines.append(f"| {' | '.join(cells)} |")
    behind: dict[str, list[str]] = {}  # rows that were measured together have the same numbers behind them
    for row in rows:
        if row.get("parts"):
            behind.setdefault(_parts(row["parts"]), []).append(f"`{row['name']}`")
    lines += ["", "Behind these numbers, medians:", ""]
    lines += [f"- {', '.join(names)}: {parts}" for parts, names in behind.items()]
    measured = dict.fromkeys(row["machine"] for row in rows if row["value"] is not None)
    return "\n".join([*lines, "", *(f"Measured on: {machine}." for machine in measured)])


def write_markdown(path: Path, rows: list[dict]) -> None:
    """Replace what is between the lines BEGIN and END of the page at `path`; make the page where there is none.

    ValueError where there is a page without these lines.
    """
    text = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN + "\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines '{BEGIN}' and '{END}', between which the table would go")
    path.write_text(f"{before}{begin}{as_markdown(rows)}\n{end}{after}")


def _value(row: dict) -> str:
    if row["value"] is None:
        return f"not measured: {row.get('reason')}"
    spread = f" ({number(row['low'])} to {number(row['high'])})" if "low" in row else ""
    return f"{number(row['value'])} {row['unit']}{spread}"


def _target(row: dict) -> str:
    return f"{row['bound']} {number(row['target'])}"


def _verdict(row: dict) -> str:
    return {None: "", True: "met", False: "missed"}[row["passed"]]


def _parts(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in parts.items())


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 100 or abs(value) >= 1e5 else f"{value:.0f}"
