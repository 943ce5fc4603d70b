"""What every noun shares: frozen, closed to unknown fields; and the mark of a sweepable field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Kind = Literal[
    "dataset",
    "autoencoder",
    "latents",
    "contexts",
    "denoiser",
    "samples",
    "reconstructions",
    "features",
    "scores",
    "coding",
    "speed",
]
"""What a stage makes."""


class Noun(BaseModel):
    """A frozen model that refuses unknown fields.

    Attributes:
        former: the names that fields had in earlier versions, each with its name of today; a file
            that still has one is refused by a sentence that says so.
    """

    former: ClassVar[dict[str, str]] = {}
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def with_former_names(noun: type[Noun], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a noun under the names of its first version, which keys and cards keep."""
    first = {today: former for former, today in noun.former.items()}
    return {first.get(name, name): value for name, value in fields.items()}


def with_todays_names(noun: type[Noun], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a key or card under their names of today."""
    return {noun.former.get(name, name): value for name, value in fields.items()}


class Sparse(Noun):
    """A noun that is written without the fields that have their default.

    What a key is made of is one: a field that is added later moves no key of what was made before.
    """

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if fields[name].is_required() or getattr(self, name) != fields[name].default
        }


class Grown(Noun):
    """A noun whose first fields are always written, and later ones where they are not the default.

    Keys and cards of what was made before a field was added stay what they were.
    """

    FIRST: ClassVar[str] = ""
    """Names of the fields that are always written: those of the first version."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        fields, always = type(self).model_fields, self.FIRST.split()
        return {
            name: value
            for name, value in dump(self).items()
            if name in always or getattr(self, name) != fields[name].default
        }


AxisValue: TypeAlias = bool | int | float | str | tuple[bool | int | float | str | None, ...] | None
"""One value of an axis: that of a field which may be swept."""


class AxisMark:
    """Marks a field on which a list in the suite is an axis."""


AXIS = AxisMark()

Positive = Field(gt=0)
Fraction = Field(gt=0, le=1)


def by_kind(nouns: object) -> dict[str, type[Noun]]:
    """Return the classes of a union of nouns by the `kind` that a suite writes."""
    return {get_args(noun.model_fields["kind"].annotation)[0]: noun for noun in get_args(nouns)}


def api_version(version: int) -> Any:
    """Return the field that says which version of a file format this is."""
    return Field(default=version, description="version of this file format")
