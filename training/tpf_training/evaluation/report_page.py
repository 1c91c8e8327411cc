"""The page of a report: `report.html`, from the templates in `templates/`."""

import jinja2

from tpf_training.evaluation.score_report import percent


def render_page(**content) -> str:
    """The HTML of `templates/report.html`, which says what it needs; whatever is shown is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tpf_training.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["rate"] = lambda rate: "-" if rate is None else f"{rate:.1f}"
    environment.filters["exact"] = lambda value: "" if value is None else repr(value)
    return environment.get_template("report.html").render(content)
