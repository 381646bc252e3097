"""What the terminal shows while a model is compressed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

console = Console(stderr=True)


class Stopped(Exception):
    """Ctrl-C or SIGTERM where there is something to say of how to go on."""


def bar(*columns: ProgressColumn) -> Progress:
    """A progress bar on standard error that leaves no trace; without a terminal it shows nothing."""
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def compressing() -> Iterator[Callable[[Any], None]]:
    """A bar of what is done: the current layer or epoch, bytes so far, and the time left; yields the callback."""
    with bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}"),
        TextColumn("[cyan]{task.fields[size]}"),
        TimeRemainingColumn(compact=True),
    ) as progress:
        task = progress.add_task("reading", total=None, size="", count="")

        def show(event: Any) -> None:
            name = f"{event.stage} {event.layer}".strip()
            progress.update(
                task,
                description=shortened(name, 32),
                completed=event.done,
                total=event.total,
                count=f"{event.done}/{event.total}",
                size=f"{event.nbytes:,} B",
            )

        yield show


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` characters, the middle left out.

    >>> shortened("features.18.0.weight", 12)
    'featu…weight'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def say(text: str) -> None:
    """One line of result on standard output, not wrapped."""
    print(text, file=sys.stdout, flush=True)


def warn(text: str) -> None:
    """One line on standard error."""
    print(f"warning: {text}", file=sys.stderr, flush=True)
