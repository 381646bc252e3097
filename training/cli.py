"""Command lines made from config models, and how every command of ``training`` ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from generators.errors import UserError
from training.config import ConfigError, StrictModel, nearest
from training.libraries import missing_library


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence and that suggests the nearest flag."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog,
            usage="%(prog)s [--config FILE] [--SETTING VALUE ...]",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Report a bad command line and exit with code 2."""
        raise ConfigError(f"{message} (see --help)")

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse all arguments; an unknown one is a :class:`ConfigError` naming the nearest."""
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            flag = unknown[0].split("=")[0]
            raise ConfigError(f"unknown argument {flag}{nearest(flag, self._option_string_actions)} (see --help)")
        return namespace


def add_fields(
    parser: argparse.ArgumentParser, model: type[StrictModel], title: str, names: Iterable[str] | None = None
) -> None:
    """Give ``parser`` a flag for every field of ``model``, or for ``names``; a flag that is not given sets nothing."""
    group = parser.add_argument_group(f"{title} (each also a key of the config file)")
    for name in names or model.model_fields:
        argument = _argument(model.model_fields[name])
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS, **argument)


def field_values(namespace: argparse.Namespace, model: type[StrictModel]) -> dict[str, Any]:
    """The settings that were given as flags, still to be validated."""
    given = {name: value for name, value in vars(namespace).items() if name in model.model_fields}
    return {name: _value(model.model_fields[name], name, value) for name, value in given.items()}


def _argument(field: FieldInfo) -> dict[str, Any]:
    text = (field.description or "").replace("%", "%%")
    if field.annotation is bool:
        return {"action": argparse.BooleanOptionalAction, "help": f"{text} [{'yes' if field.default else 'no'}]"}
    kind = str(field.annotation)
    if kind.startswith("dict"):
        return {"nargs": "+", "metavar": "KEY=VALUE", "help": text}
    if "tuple" in kind:
        return {"nargs": "+", "metavar": "N", "help": text}
    default = "none" if field.default is None else field.default
    if field.is_required():
        return {"metavar": "VALUE", "help": text}
    choices = field.annotation.__args__ if kind.startswith("typing.Literal") else None  # type: ignore[union-attr]
    return {"metavar": "{" + ",".join(choices) + "}" if choices else "VALUE", "help": f"{text} [{default}]"}


def _value(field: FieldInfo, name: str, value: Any) -> Any:
    kind = str(field.annotation)
    if kind.startswith("dict"):
        pairs = [item.partition("=") for item in value]
        if bad := next((key for key, equals, _ in pairs if not (key and equals)), None):
            raise ConfigError(f"--{name.replace('_', '-')} takes KEY=VALUE, not {bad!r}")
        return {key: scalar(text) for key, _, text in pairs}
    optional = field.default is None and not field.is_required()
    if optional and value in ("none", ["none"]):
        return None
    if "tuple" in kind:
        wanted = next(len(get_args(each)) for each in (field.annotation, *get_args(field.annotation)) if _tuple(each))
        if len(value) != wanted or not all(_whole(each) for each in value):
            told = f"--{name.replace('_', '-')} takes {wanted} numbers: {field.description}"
            raise ConfigError(f"{told}; not {' '.join(value)}")
    return value


def _tuple(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


def _whole(text: str) -> bool:
    return text.lstrip("-").isdigit()


def scalar(text: str) -> Any:
    """Read a value as YAML does, and 1e-3 as the number that YAML 1.1 takes for a word."""
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) else value
    except (ValueError, yaml.YAMLError):
        return text


def run_command(command: Callable[[], int | None], resume_hint: Callable[[], str]) -> NoReturn:
    """Run a command and exit: 2 with one sentence for a user's mistake, 130 with ``resume_hint()`` after Ctrl-C."""
    try:
        code = command() or 0
    except KeyboardInterrupt:
        print(f"\ninterrupted; {resume_hint()}", file=sys.stderr)
        code = 130
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: cannot use {error.filename}: {error.strerror}; give another file or folder", file=sys.stderr)
        code = 2
    except ModuleNotFoundError as error:
        if (sentence := missing_library(error)) is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        code = 2
    sys.stdout.flush()
    sys.exit(code)


def interpreter() -> str:
    """The command that starts this Python here: such as ``.venv/bin/python`` for an environment below this folder."""
    environment, here = Path(sys.prefix), Path.cwd()
    if sys.prefix == sys.base_prefix or not environment.is_relative_to(here):
        return "python"
    return str(environment.relative_to(here) / "bin" / "python")


def counted(number: int, noun: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
