"""The figures of a comparison for the report, by Plotly: the same curves and bars, with values under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from training.comparison.figures import COSTS, FORMS, HISTORIES, live_words, model_colors
from training.comparison.results import Group, Results, curves
from training.comparison.table import NAMES
from wavpool.pages import faint, styled

_BAR = {"orientation": "h", "showlegend": False, "cliponaxis": False}
_DEAD = "#c3c9d1"


def figures(results: Results) -> dict[str, go.Figure]:
    """All figures by the name of their PNG."""
    return {"accuracy": accuracies(results), "histories": histories(results), "costs": costs(results)}


def histories(results: Results) -> go.Figure:
    """A panel a data set and metric: mean over the seeds, and a band of one standard deviation to both sides."""
    data_sets, columns = results.plan.data, list(HISTORIES)
    first = {group.key: group.data for group in reversed(results.groups)}
    figure = _grid(results, len(columns), [NAMES.get(data, data) for data in data_sets], 300, 40)
    for row, data in enumerate(data_sets, start=1):
        for column, (measure, name) in enumerate(HISTORIES.items(), start=1):
            at = {"row": row, "col": column}
            for key, color in model_colors(results).items():
                curve = curves(results, data, key, measure)
                if curve.empty:
                    continue
                low, high = curve["mean"] - curve["std"], curve["mean"] + curve["std"]
                shared = {"x": curve.index, "legendgroup": key, "mode": "lines"}
                edge = {"line_width": 0, "hoverinfo": "skip", "showlegend": False}
                figure.add_scatter(y=high, **shared, **edge, **at)
                figure.add_scatter(y=low, fill="tonexty", fillcolor=faint(color), **shared, **edge, **at)
                figure.add_scatter(
                    y=curve["mean"], name=results.plan.labels[key], line={"color": color, "width": 2},
                    showlegend=column == 1 and data == first[key], customdata=curve["std"],
                    hovertemplate="%{y:.4f} ± %{customdata:.4f}", **shared, **at,
                )  # fmt: skip
            figure.update_yaxes(title_text=name, title_standoff=6, **at)
            figure.update_xaxes(title_text="epoch" if row == len(data_sets) else None, **at)
    figure.update_layout(hovermode="x unified")
    return figure


def costs(results: Results) -> go.Figure:
    """Bars a data set: parameters (live, dead), training time, inference time."""
    data_sets = results.plan.data
    heads = [NAMES.get(data, data) for data in data_sets]
    figure = _grid(results, len(COSTS), heads, 60 + 34 * len(results.plan.keys), 70, True)
    for row, data in enumerate(data_sets, start=1):
        groups = results.of(data)
        _parameter_bars(figure, results, groups, row)
        for column, measure in enumerate(list(COSTS)[1:], start=2):
            _time_bars(figure, results, groups, measure, row, column)
    for column, name in enumerate(COSTS.values(), start=1):
        figure.update_xaxes(title_text=name, row=len(data_sets), col=column)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=True, nticks=5)
    figure.update_layout(barmode="stack", bargap=0.35, margin_t=36)
    return figure


def _parameter_bars(figure: go.Figure, results: Results, groups: Sequence[Group], row: int) -> None:
    at = {"y": [group.model for group in groups], **_BAR, "row": row, "col": 1}
    live = [group.mean["live_parameters"] for group in groups]
    colors = [model_colors(results)[group.key] for group in groups]
    figure.add_bar(x=live, marker_color=colors, name="live", hovertemplate="%{x:,} live", **at)
    hatched = {"color": _DEAD, "pattern": {"shape": "/", "fgcolor": "white"}}
    dead = [group.mean["unreachable_parameters"] for group in groups]
    words = [live_words(group) for group in groups]
    shown = {"text": words, "textposition": "outside", "hovertemplate": "%{x:,} dead"}
    figure.add_bar(x=dead, marker=hatched, name="dead", **shown, **at)
    figure.update_xaxes(range=[0, 1.55 * max(group.mean["parameters"] for group in groups)], row=row, col=1)


def _time_bars(
    figure: go.Figure, results: Results, groups: Sequence[Group], measure: str, row: int, column: int
) -> None:
    at = {"y": [group.model for group in groups], "row": row, "col": column}
    mean = [group.mean[measure] for group in groups]
    deviation = [0 if isnan(group.std[measure]) else group.std[measure] for group in groups]
    colors = [model_colors(results)[group.key] for group in groups]
    error = {"array": deviation, "color": "#5b6470", "thickness": 1.2, "width": 0}
    hover = f"%{{x:{FORMS[measure]}}}<extra></extra>"
    figure.add_bar(x=mean, marker_color=colors, error_x=error, hovertemplate=hover, **_BAR, **at)
    ends = [sum(pair) for pair in zip(mean, deviation, strict=True)]
    words = {"mode": "text", "text": [f" {value:{FORMS[measure]}}" for value in mean], "textposition": "middle right"}
    figure.add_scatter(x=ends, hoverinfo="skip", showlegend=False, cliponaxis=False, **words, **at)
    figure.update_xaxes(range=[0, 1.22 * max(ends)], row=row, col=column)


def accuracies(results: Results) -> go.Figure:
    """Validation (ring) and test (dot) accuracy of every run."""
    data_sets, names = results.plan.data, results.plan.labels
    titles = [NAMES.get(data, data) for data in data_sets]
    figure = make_subplots(1, len(data_sets), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)
    for column, data in enumerate(data_sets, start=1):
        for position, (key, color) in enumerate(model_colors(results).items()):
            rows = results.runs_of(data, key)
            if rows.empty:
                continue
            for measure, shift, fill, word in (
                ("validation_accuracy", -0.17, "white", "validation"), ("test_accuracy", 0.17, color, "test"),
            ):  # fmt: skip
                figure.add_scatter(
                    x=rows[measure], y=[position + shift] * len(rows), mode="markers", showlegend=False,
                    marker={"size": 9, "color": fill, "line": {"color": color, "width": 2}}, customdata=rows["seed"],
                    hovertemplate=f"{names[key]}, {word}<br>seed %{{customdata}}: %{{x:.4f}}<extra></extra>",
                    row=1, col=column,
                )  # fmt: skip
                figure.add_scatter(
                    x=[rows[measure].mean()] * 2, y=[position + shift - 0.15, position + shift + 0.15], mode="lines",
                    line={"color": color, "width": 3}, showlegend=False, hoverinfo="skip", row=1, col=column,
                )  # fmt: skip
        figure.update_xaxes(title_text="accuracy", showgrid=True, nticks=6, tickformat=".2~f", row=1, col=column)
    ticks = {"tickvals": list(range(len(names))), "ticktext": list(names.values())}
    figure.update_yaxes(range=[len(names) - 0.5, -0.5], showgrid=False, **ticks)
    return styled(figure, 120 + 52 * len(names), False)


def _grid(
    results: Results, columns: int, titles: Sequence[str], height: int, gap: int, shared: bool = False
) -> go.Figure:
    """Panels for every data set and ``columns`` measures; the data set's name stands above its first panel."""
    rows = len(results.plan.data)
    whole = rows * height + (rows - 1) * gap + 110
    spacing = gap / (whole - 110) if rows > 1 else 0
    heads = [title if column == 0 else "" for title in titles for column in range(columns)]
    figure = make_subplots(
        rows,
        columns,
        shared_yaxes=shared,
        horizontal_spacing=0.03 if shared else 0.07,
        vertical_spacing=spacing,
        subplot_titles=heads,
    )
    return styled(figure, whole, not shared)
