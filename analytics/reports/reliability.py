"""How often answers are right against how sure they claim to be, before and after calibration: a table, a diagram."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analytics.reports.quantities import share
from conventions.errors import SettingsError

_SIDE: Final = 260
_COLOURS: Final = {"before": "#9aa5b1", "after": "#0b6e4f"}


def table(document: Mapping[str, Any]) -> RenderableType:
    """What a threshold keeps and how often that is wrong, on the held-out questions."""
    held = document["held_out"]
    shown = Table(
        "kept from", "answers kept", "of them wrong", "at most (95 %)", title=f"{held['questions']} held-out questions",
        title_justify="left", box=SIMPLE_HEAD,
    )  # fmt: skip
    for row in held["thresholds"]:
        shown.add_row(f"{row['threshold']:.2f}", *(share(row[name]) for name in ("kept", "wrong", "bound")))
    arms = (f"{_title(arm, held[arm])}" for arm in _COLOURS)
    said = f"{document['feature']} of {document['questions']} answers, {document['right']} of them right"
    return Group(shown, Text(f"fitted on the {said}; {'; '.join(arms)}"), Text(f"written to {document['written']}"))


def markdown(document: Mapping[str, Any], diagram: str | None) -> str:
    """The same for a page; ``diagram`` is the picture's path from there."""
    held = document["held_out"]
    rows = [
        f"| {row['threshold']:.2f} | {' | '.join(share(row[name]) for name in ('kept', 'wrong', 'bound'))} |"
        for row in held["thresholds"]
    ]
    measures = [f"| {arm} | {held[arm]['ece']:.3f} | {held[arm]['brier']:.3f} |" for arm in _COLOURS]
    return "\n".join(
        [
            f"# How sure the {document['model']} is",
            "",
            "`tokenjoule calibrate` wrote this page.",
            f"Fitted on {document['questions']} questions, {document['split']};",
            f"{document['right']} of them answered rightly. Feature `{document['feature']}`, weights "
            f"`{document['weights']}`.",
            f"Checked on {held['questions']} held-out questions, {held['right']} of them answered rightly.",
            "",
            *([f"![Reliability before and after calibration]({diagram})", ""] if diagram else []),
            "| | ECE | Brier |", "|---|---:|---:|", *measures, "",
            "| kept from | answers kept | of them wrong | at most (95 %) |", "|---:|---:|---:|---:|", *rows, "",
        ]
    )  # fmt: skip


def require_drawable(path: Path) -> None:
    """Raises ``SettingsError`` where ``save`` could not write ``path``: worth asking before hours of questions."""
    if path.suffix not in (".png", ".svg"):
        raise SettingsError(f"{path}: a diagram is .svg or .png")
    if importlib.util.find_spec("vl_convert") is None:
        raise SettingsError(f"{path}: no vl_convert here; the diagram needs tokenjoule[reports]")


def save(report: Mapping[str, Any], path: Path) -> None:
    """Write the diagram as SVG or PNG, by the file's ending. Raises ``SettingsError`` where it cannot be drawn."""
    require_drawable(path)
    import vl_convert

    if path.suffix == ".png":
        path.write_bytes(vl_convert.vegalite_to_png(chart(report), scale=2))
    else:
        path.write_text(vl_convert.vegalite_to_svg(chart(report)), encoding="utf-8")


def chart(report: Mapping[str, Any]) -> dict[str, Any]:
    """The diagram as a Vega-Lite specification: a dot per tenth of the stated chance, its size the answers in it."""
    arms = {arm: _title(arm, report[arm]) for arm in _COLOURS}
    rows = [{"arm": arms[arm], **one} for arm in arms for one in report[arm]["bins"]]
    colour = {
        "field": "arm", "type": "nominal", "scale": {"domain": list(arms.values()), "range": list(_COLOURS.values())},
        "legend": {"title": None, "orient": "top", "direction": "vertical", "labelLimit": 300},
    }  # fmt: skip
    dots = {
        **_axes(),
        "color": colour,
        "size": {"field": "count", "type": "quantitative", "title": "answers"},
    }
    diagonal = {"values": [{"stated": 0, "right": 0}, {"stated": 1, "right": 1}]}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": f"{report['questions']} held-out questions",
        "width": _SIDE,
        "height": _SIDE,
        "layer": [
            {"data": diagonal, "mark": {"type": "line", "strokeDash": [4, 4], "color": "#888"}, "encoding": _axes()},
            {
                "data": {"values": rows},
                "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.5},
                "encoding": {**_axes(), "color": colour},
            },
            {"data": {"values": rows}, "mark": {"type": "circle", "opacity": 0.7}, "encoding": dots},
        ],
    }


def _axes() -> dict[str, Any]:
    share_of_one = {"type": "quantitative", "scale": {"domain": [0, 1]}}
    return {
        "x": {"field": "stated", "title": "stated chance", **share_of_one},
        "y": {"field": "right", "title": "share that is right", **share_of_one},
    }


def _title(arm: str, found: Mapping[str, Any]) -> str:
    return f"{arm}: ECE {found['ece']:.3f}, Brier {found['brier']:.3f}"
