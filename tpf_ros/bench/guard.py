"""A guard against getting slower: the ratios of this run against those of an earlier one."""

RATIOS = ("x", "share")  # units of two times of one run, which another machine's load or clock does not change much


def worse_rows(rows: list[dict], earlier: list[dict], tolerance: float) -> list[str]:
    """A sentence for each ratio that is worse than in `earlier` by more than `tolerance`, a share, or got lost.

    Rows that `earlier` did not measure, or that this run was not asked for, are not compared. ValueError where none is
    left.
    """
    before = {row["name"]: row for row in earlier if row["unit"] in RATIOS and row["value"] is not None}
    compared = [row for row in rows if row["name"] in before]
    if not compared:
        raise ValueError("no ratio of the earlier run is measured in this one: there is nothing to guard")
    return [sentence for row in compared if (sentence := _compare(row, before[row["name"]], tolerance))]


def _compare(row: dict, before: dict, tolerance: float) -> str | None:
    old, new = before["value"], row["value"]
    if new is None:
        return f"{row['name']} was {old:g}, and is not measured any more: {row.get('reason')}"
    change = old / new if row["bound"] == ">=" else new / old
    if change <= 1 + tolerance:
        return None
    return f"{row['name']} was {old:g}, is {new:g}: {100 * (change - 1):.0f} % worse"
