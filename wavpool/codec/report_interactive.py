"""The figures of a sweep by Plotly: the same curves and bars as in PNG, with values under the pointer."""

import math
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..pages import COLORS, GRAY, faint, styled
from .points import Curve, Row
from .report import Report
from .report_figures import (
    CRITICAL,
    NAMES,
    REMOVED,
    SHADES,
    caption,
    curve_colors,
    kind_colors,
    percent,
    place,
    round_values,
    size,
    values,
)

_DASHES = ("solid", "dash", "dot")
_MARKS = {"1": ("diamond", 10), "knee": ("star", 14)}


def figures(report: Report) -> dict[str, go.Figure]:
    """All figures by the name of their PNG."""
    made = {"tradeoff": tradeoff(report)}
    if report.cliffs:
        made["cliffs"] = cliffs(report)
    return made | {"layers": layers(report)}


def tradeoff(report: Report) -> go.Figure:
    """Quality and distance against size and against the share of zeros; a name in the legend is one in all panels."""
    figure = make_subplots(2, 2, shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=0.05)
    for line, measure in enumerate((report.quality, report.distance), start=1):
        for column, across in enumerate(("bytes", "kept"), start=1):
            at = {"row": line, "col": column}
            for add in (_band, _line, _marks):  # all bands lie below all lines
                for curve in report.curves:
                    add(figure, report, curve, across, measure, at)
            if measure != "kl":
                line_style = {"color": GRAY, "dash": "dash", "width": 1.3}
                figure.add_hline(report.original[measure], line=line_style, layer="below", **at)
        figure.update_yaxes(title_text=NAMES[measure], row=line, col=1)
    figure.update_yaxes(type="log", row=2, **_ticks(report, report.distance, "{:g}".format))
    figure.update_yaxes(tickformat=".3~p", row=1)
    figure.update_xaxes(type="log", showgrid=True)
    figure.update_xaxes(col=1, **_ticks(report, "bytes", size))
    figure.update_xaxes(
        tickvals=[1 - share for share in REMOVED], ticktext=[percent(share) for share in REMOVED], col=2
    )
    figure.update_xaxes(title_text=NAMES["bytes"], row=2, col=1)
    figure.update_xaxes(title_text=NAMES["kept"], row=2, col=2)
    styled(figure, 800, True)
    lines = math.ceil(len(report.curves) / 7)
    return figure.update_layout(margin_t=50 + 22 * lines, legend={"y": 1.01, "yref": "paper", "yanchor": "bottom"})


def _ticks(report: Report, name: str, words: Callable[[float], str]) -> dict[str, Any]:
    """Round numbers over the whole span of a column."""
    found = [value for rows in report.curves.values() for value in values(rows, name) if value > 0]
    chosen = round_values(min(found) / 1.3, max(found) * 1.3)
    return {"tickvals": chosen, "ticktext": [words(value) for value in chosen]}


def _band(figure: go.Figure, report: Report, curve: Curve, across: str, measure: str, at: dict[str, int]) -> None:
    rows = report.curves[curve]
    shared = {"x": values(rows, across), "legendgroup": curve.label, "mode": "lines"}
    edge = {"line_width": 0, "hoverinfo": "skip", "showlegend": False}
    color = faint(curve_colors(report)[curve], 0.1)
    figure.add_scatter(y=values(rows, f"{measure}_high"), **shared, **edge, **at)
    figure.add_scatter(y=values(rows, f"{measure}_low"), fill="tonexty", fillcolor=color, **shared, **edge, **at)


def _line(figure: go.Figure, report: Report, curve: Curve, across: str, measure: str, at: dict[str, int]) -> None:
    rows, color = report.curves[curve], curve_colors(report)[curve]
    dash = _DASHES[list(report.curves).index(curve) // len(COLORS) % len(_DASHES)]
    figure.add_scatter(
        x=values(rows, across), y=values(rows, measure), mode="lines+markers",
        legendgroup=curve.label, name=curve.label, showlegend=at == {"row": 1, "col": 1},
        line={"color": color, "width": 2, "dash": dash}, marker_size=5,
        customdata=[_told(report, row) for row in rows], hovertemplate="%{customdata}", **at,
    )  # fmt: skip


def _marks(figure: go.Figure, report: Report, curve: Curve, across: str, measure: str, at: dict[str, int]) -> None:
    line = {"color": curve_colors(report)[curve], "width": 2}
    for name, (symbol, marker_size) in _MARKS.items():
        if critical := report.critical(curve, name):
            x, y = (place(report.curves[curve], critical["bytes"], column) for column in (across, measure))
            figure.add_scatter(
                x=[x], y=[y], mode="markers", legendgroup=curve.label, showlegend=False,
                marker={"symbol": symbol, "size": marker_size, "color": "white", "line": line},
                hovertemplate=f"{_size(critical)}<extra>{curve.label}</extra>", **at,
            )  # fmt: skip


def _told(report: Report, row: Row) -> str:
    """A point in words."""
    lines = [f"{row['bytes']:,} bytes, {row['ratio']:.1f} times smaller", f"strength {row['strength']:.4g}"]
    lines.append(f"{percent(row['zero_coefficients'])} of coefficients, {percent(row['zero_weights'])} of weights zero")
    for name in (report.quality, *(["drop"] if report.labelled else []), report.distance, "kl"):
        ends = (row[name], row[f"{name}_low"], row[f"{name}_high"])
        line = f"{name} {ends[0]:.4g} [{ends[1]:.4g}, {ends[2]:.4g}]"
        lines += [line] if line not in lines else []
    return "<br>".join(lines)


def _size(row: Row) -> str:
    """A critical size in words."""
    interval = f"[{row['bytes_low']:,.0f}, {row['bytes_high']:,.0f}]"
    return f"{CRITICAL[row['critical']]}: {row['bytes']:,} bytes {interval}<br>{row['ratio']:.1f} times smaller"


def cliffs(report: Report) -> go.Figure:
    """The critical sizes of every curve with their intervals."""
    curves = [curve for curve in report.curves if any(report.critical(curve, name) for name in CRITICAL)]
    figure = go.Figure()
    for shift, (name, shade) in zip((-0.27, -0.09, 0.09, 0.27), SHADES.items(), strict=True):
        rows = [
            (position, curve, row) for position, curve in enumerate(curves) if (row := report.critical(curve, name))
        ]
        if not rows:
            continue
        colors = [curve_colors(report)[curve] for _, curve, _ in rows]
        far = 4 * max(row["bytes"] for _, _, row in rows)
        ends = {
            "array": [min(row["bytes_high"], far) - row["bytes"] for _, _, row in rows],
            "arrayminus": [row["bytes"] - row["bytes_low"] for _, _, row in rows],
        }
        figure.add_scatter(
            x=[row["bytes"] for _, _, row in rows], y=[position + shift for position, _, _ in rows], mode="markers",
            name=CRITICAL[name], opacity=shade * 0.75 + 0.25,
            error_x={"type": "data", "symmetric": False, "color": "#9aa2ad", "thickness": 1.6, "width": 0, **ends},
            marker={
                "symbol": "star" if name == "knee" else "diamond", "size": 13 if name == "knee" else 9,
                "color": ["white"] * len(rows) if name == "knee" else [faint(color, shade) for color in colors],
                "line": {"color": colors, "width": 1.6},
            },
            customdata=[_size(row) for _, _, row in rows], hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(type="log", title_text="bytes of the smallest file, and 95 % interval")
    ticks = {"tickvals": list(range(len(curves))), "ticktext": [curve.label for curve in curves]}
    styled(figure, 150 + 56 * len(curves), True)
    figure.update_yaxes(range=[len(curves) - 0.5, -0.5], showgrid=False, **ticks)
    sizes = [end for row in report.cliffs for end in (row["bytes_low"], row["bytes"])]
    span = (min(sizes) / 1.1, max(sizes) * 1.3)
    chosen = round_values(*span)
    figure.update_xaxes(
        showgrid=True,
        tickvals=chosen,
        ticktext=[size(value) for value in chosen],
        range=[math.log10(end) for end in span],
    )
    figure.update_layout(margin_t=50, legend_itemclick=False, legend_itemdoubleclick=False)
    return figure


def layers(report: Report) -> go.Figure:
    """Bytes and bits a weight of every layer; a menu chooses the curve whose featured file is shown."""
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.03)
    colors, order = kind_colors(report), [report.best, *(curve for curve in report.curves if curve != report.best)]
    for curve in order:
        bars = report.bars(curve)
        for column, (measure, name, form) in enumerate(
            (("bytes", "bytes", ",.0f"), ("bits", "bits a weight", ".2f")), 1
        ):
            figure.add_bar(
                y=[bar.name for bar in bars], x=[getattr(bar, measure) for bar in bars], orientation="h",
                marker_color=[colors[bar.kind] for bar in bars], customdata=[bar.kind for bar in bars],
                text=[f"{getattr(bar, measure):{form}}" for bar in bars], textposition="outside", cliponaxis=False,
                hovertemplate=f"%{{y}}<br>%{{x:{form}}} {name}<br>%{{customdata}}<extra></extra>", showlegend=False,
                visible=curve == report.best, row=1, col=column,
            )  # fmt: skip
            figure.update_xaxes(title_text=name, row=1, col=column)
    for kind in colors:
        figure.add_bar(y=[None], x=[None], name=kind, marker_color=colors[kind], showlegend=True, row=1, col=1)
    most = max(len(report.bars(curve)) for curve in order)
    styled(figure, 170 + 21 * most, True)
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont_size=11.5)
    figure.update_xaxes(showgrid=True, nticks=6)
    figure.update_layout(
        bargap=0.3, barmode="overlay", margin_t=120, uniformtext={"mode": "show", "minsize": 10},
        legend={"y": 1, "yanchor": "top", "itemclick": False, "itemdoubleclick": False},
        updatemenus=[_menu(report, order, len(colors))],
    )  # fmt: skip
    return figure


def _menu(report: Report, order: list[Curve], kinds: int) -> dict[str, Any]:
    buttons = [
        {
            "label": caption(report, curve, report.featured(curve)), "method": "update",
            "args": [{"visible": [each == curve for each in order for _ in range(2)] + [True] * kinds}],
        }
        for curve in order
    ]  # fmt: skip
    return {
        "buttons": buttons, "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 12, "t": 0},
        "bgcolor": "white", "bordercolor": "#d9dde3", "font": {"size": 12.5}, "showactive": True,
    }  # fmt: skip
