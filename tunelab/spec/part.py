"""The base of a study file's sections: unknown keys refused, all problems reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

from tunelab.spec.rules import RefusedError, shown, unknown

Place = tuple[str | int, ...]
"""Keys and list indices (from 0) that lead to a value."""


@dataclass(frozen=True)
class Complaint:
    """Something that is wrong at a place, which is relative to the section that reports it."""

    place: Place
    refused: RefusedError


def refuse(title: str, complaints: Sequence[Complaint]) -> NoReturn:
    """Raise all complaints as one error; pydantic adds them to those of the outer section.

    Raises:
        ValidationError: Always.
    """
    details: list[InitErrorDetails] = [
        {"type": "value_error", "loc": item.place, "input": None, "ctx": {"error": item.refused}}
        for item in complaints
    ]
    raise ValidationError.from_exception_data(title, details)


def complaints_of(error: ValidationError) -> list[Complaint]:
    """The complaints in a pydantic error, in our words."""
    return [
        Complaint(tuple(item["loc"]), _refused(item["type"], item.get("ctx", {}), item["msg"]))
        for item in error.errors(include_url=False)
    ]


def _refused(kind: str, context: Mapping[str, Any], message: str) -> RefusedError:
    cause = context.get("error")
    if isinstance(cause, RefusedError):
        return cause
    if kind == "missing":
        return RefusedError("is missing", "add this key", at_key=True)
    return RefusedError(message)


class Part(BaseModel):
    """A frozen section of a study file.

    Fields check their values by functions that raise `RefusedError`. Problems between fields come
    from `disagreements`, and are reported even where some field is wrong by itself.
    """

    # Built at first use: importing this ring is part of every command's start.
    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True
    )

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        """The keys that a study file may use in this section."""
        return tuple(info.alias or name for name, info in cls.model_fields.items())

    @classmethod
    def disagreements(cls, given: Mapping[str, Any]) -> list[Complaint]:  # noqa: ARG003
        """What is wrong between the fields; nothing in ``given`` has been checked yet."""
        return []

    def contradictions(self) -> list[Complaint]:
        """What is wrong between fields each of which is right."""
        return []

    @classmethod
    def with_implied(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """``given`` with the values that others in it imply; nothing has been checked yet."""
        return given

    @model_validator(mode="wrap")
    @classmethod
    def _report_everything(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            keys = " ".join(cls.known_keys())
            raise RefusedError(f"must be a mapping with the keys {keys}, got {shown(given)}")
        complaints = cls._unknown_keys(given) + cls.disagreements(given)
        try:
            known = {key: given[key] for key in given if key in cls.known_keys()}
            part = handler(cls.with_implied(known))
        except ValidationError as error:
            refuse(cls.__name__, complaints + complaints_of(error))
        complaints += part.contradictions()
        if complaints:
            refuse(cls.__name__, complaints)
        return part

    @classmethod
    def _unknown_keys(cls, given: Mapping[str, Any]) -> list[Complaint]:
        known = cls.known_keys()
        return [Complaint((key,), cls.unknown_key(key)) for key in given if key not in known]

    @classmethod
    def unknown_key(cls, key: str) -> RefusedError:
        """What is said about a key that is not known."""
        return unknown("key", key, cls.known_keys(), at_key=True)

    def to_mapping(self) -> dict[str, Any]:
        """The section in the syntax of a study file: plain values, None left out."""
        mapping: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None:
                nested = hasattr(value, "to_mapping")
                mapping[info.alias or name] = value.to_mapping() if nested else value
        return mapping
