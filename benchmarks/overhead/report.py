"""A figure beside its bar."""

from __future__ import annotations


def report(what: str, value: float, unit: str, bar: float | None = None, note: str = "") -> None:
    """Print a figure; a ``*`` marks one above its bar."""
    told = "" if bar is None else f"bar {bar:6.2f}{' *' if value > bar else '  '}"
    print(f"  {what:38} {value:8.2f} {unit:4} {told:12}  {note}".rstrip(), flush=True)


def report_least(what: str, value: float, unit: str, bar: float, note: str = "") -> None:
    """Print a figure; a ``*`` marks one below its bar."""
    told = f"bar {bar:6.2f}{' *' if value < bar else '  '}"
    print(f"  {what:38} {value:8.2f} {unit:4} {told:12}  {note}".rstrip(), flush=True)
