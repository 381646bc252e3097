"""The report of a sweep as one page of HTML."""

import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from ..pages import captioned, definitions, document, embedded, folded, swatch, table
from .points import Row, curve_of
from .report import TOLERANCE, Report, lost
from .report_figures import CRITICAL, curve_colors, percent, size
from .report_interactive import figures

_HEADINGS = {"tradeoff": "What is lost, against what is saved", "cliffs": "Where it breaks", "layers": "Layer by layer"}
_CAPTIONS = {
    "tradeoff": "A dot is a compressed model, the band its 95 % interval, the dashed line the original. A diamond "
    "marks the size within one point of the original's accuracy, a star the knee. Click a name to hide a curve, twice "
    "to see it alone; drag to zoom.",
    "cliffs": "The smallest file within 0.5, 1 and 5 points of the original's accuracy, and the knee: the size, "
    "between the original's and the one that loses half of what its accuracy is above chance, where accuracy stands "
    "highest above a straight line over the logarithm of the size. Intervals come from the paired 95 % intervals of "
    "the drop on the same samples.",
    "layers": "Of each method, the smallest file that loses at most one point (without labels: that agrees with the "
    "original on 99 % of the samples), or else the one that loses least. The colour says which transform was chosen.",
}
_NOTES = (
    "Bytes are those of the whole file on disk. Proportions have Wilson's interval, losses the normal one, F1, "
    "precision and recall one by bootstrap, a drop that of matched pairs (Agresti and Min), and inference time (one "
    "sample, median after two passes to warm up) that of its order statistics. Compare times only where one process "
    "measured them all."
)


def page(report: Report) -> str:
    """The whole document."""
    return document(_title(report), _body(report))


def _title(report: Report) -> str:
    name = report.settings["model"]["name"]
    return f"{Path(name).name.rpartition(':')[2]} in few bytes"


def _body(report: Report) -> Iterable[str]:
    samples, data = report.original["samples"], report.settings["data"]["name"]
    count = sum(map(len, report.curves.values()))
    yield f"<h1>{escape(_title(report))}</h1>\n<p>{_lead(report)}</p>"
    curves = f"{len(report.curves)} {'curve' if len(report.curves) == 1 else 'curves'}"
    yield (
        f'<p class="facts">{count} compressed models · {curves} · measured on {samples:,} samples '
        f"of {escape(data)} · original {report.original['bytes']:,} bytes, {report.quality} "
        f"{percent(report.original[report.quality])}</p>"
    )
    if report.cliffs:
        yield "<h2>Critical sizes</h2>" + _critical(report)
    for name, figure in figures(report).items():
        yield f"<h2>{_HEADINGS[name]}</h2>\n{captioned(embedded(name, figure), _CAPTIONS[name])}"
    yield "<h2>Every point</h2>" + folded(f"{count} compressed models", _points(report))
    yield f'<p class="note">{escape(_NOTES)}</p>'
    yield f"<h2>Settings</h2>{definitions(_flat(report.settings))}"


def _lead(report: Report) -> str:
    """The finding in a sentence."""
    row, curve = report.featured(report.best), report.best
    if report.labelled:
        low, high = row["drop_low"], row["drop_high"]
        kept = f"loses {row['drop']:.2f} points of accuracy (95 % interval {low:.2f} to {high:.2f})"
    else:
        kept = f"agrees with the original on {percent(row['agreement'])} of the samples"
    best = "The smallest file that stays within a point" if lost(row) <= TOLERANCE else "The file that loses least"
    return (
        f"{best} is made by <b>{escape(curve.label)}</b>: {row['bytes']:,} bytes, {row['ratio']:.1f} times smaller "
        f"than the original; it {kept}."
    )


def _critical(report: Report) -> str:
    """A row a curve: bytes and interval of each critical size; the smallest of a column in bold."""
    colors = curve_colors(report)
    curves = [curve for curve in report.curves if any(report.critical(curve, name) for name in CRITICAL)]
    rows, best = [], set()
    for column, name in enumerate(CRITICAL, start=1):
        found = {number: row["bytes"] for number, curve in enumerate(curves) if (row := report.critical(curve, name))}
        if name != "knee":
            best |= {(number, column) for number, value in found.items() if value == min(found.values())}
    for curve in curves:
        cells = [f"{swatch(colors[curve])}{escape(curve.label)}"]
        for name in CRITICAL:
            row = report.critical(curve, name)
            cells.append("–" if row is None else f"{row['bytes']:,} <small>{_interval(row)}</small>")
        rows.append(cells)
    return table(["method", *(f"{name}, bytes" for name in CRITICAL.values())], rows, 1, best)


def _interval(row: Row) -> str:
    high = "∞" if math.isinf(row["bytes_high"]) else size(row["bytes_high"])
    return f"{size(row['bytes_low'])} – {high}"


def _points(report: Report) -> str:
    measures = [
        name for name in ("accuracy", "drop", "top5", "loss", "f1", "kl", "agreement") if name in report.original
    ]
    header = ["method", "strength", "bytes", "ratio", "zero coefficients", "zero weights", *measures]
    header += ["inference, ms", "encode, s", "decode, s"]
    rows = []
    for curve in report.curves:
        for row in reversed(report.curves[curve]):
            cells = [swatch(curve_colors(report)[curve_of(row)]) + escape(curve.label), f"{row['strength']:.4g}"]
            cells += [f"{row['bytes']:,}", f"{row['ratio']:.1f}", percent(row["zero_coefficients"])]
            cells += [percent(row["zero_weights"]), *(f"{row[name]:.4g}" for name in measures)]
            cells += [
                f"{1e3 * row['inference_seconds']:.3g}",
                f"{row['encode_seconds']:.3g}",
                f"{row['decode_seconds']:.3g}",
            ]
            rows.append(cells)
    return table(header, rows, 1)


def _flat(settings: dict[str, Any]) -> dict[str, str]:
    """What was swept, in lines."""
    lines = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {each}" for key, each in value.items() if each not in (None, {}, False))
        lines[name] = str(value) if value not in (None, "") else "none"
    return lines
