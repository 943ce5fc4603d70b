"""The suite as written: every sweepable field may also hold a list, which is an axis."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, Field, Tag, create_model, model_validator
from pydantic.fields import FieldInfo

from ldmbench.schema.base import AxisMark
from ldmbench.schema.suite import Suite

N = TypeVar("N", bound=BaseModel)
ONE, MANY = "one value", "a list of values"


def _many_or_one(value: object) -> str:
    return MANY if isinstance(value, list | tuple) else ONE


def _many_or_one_list(value: object) -> str:
    items = value if isinstance(value, list | tuple) else ()
    return MANY if any(isinstance(item, list | tuple) for item in items) else ONE


def is_axis(info: FieldInfo) -> bool:
    """Tell whether a list on this field is an axis."""
    return any(isinstance(mark, AxisMark) for mark in info.metadata)


def is_list_field(annotation: object) -> bool:
    """Tell whether the field itself holds a list (it then sweeps by a list of lists)."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return any(get_origin(option) in (tuple, list) for option in options)


def _swept(annotation: Any, info: FieldInfo) -> Any:
    metadata = [m for m in info.metadata if not isinstance(m, AxisMark)]
    one: Any = annotation
    for mark in metadata:
        one = Annotated[one, mark]
    tell = _many_or_one_list if is_list_field(annotation) else _many_or_one
    return Annotated[
        Annotated[one, Tag(ONE)] | Annotated[tuple[one, ...], Field(min_length=1), Tag(MANY)],
        Discriminator(tell),
    ]


def _written(annotation: object) -> object:
    """Return `annotation` with every noun inside replaced by its written form."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return written_form(annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _discriminated(parts) if all(_kind(p) for p in parts) else annotation
    if origin is dict:
        return dict[parts[0], _written(parts[1])]  # type: ignore[misc,valid-type]
    return annotation


def _kind(noun: object) -> str | None:
    field = getattr(noun, "model_fields", {}).get("kind")
    return get_args(field.annotation)[0] if field else None


def _discriminated(nouns: tuple[object, ...]) -> object:
    """Return the union of nouns that `kind` distinguishes; without it the first is meant."""

    def tell(value: object) -> Any:
        if isinstance(value, dict):
            return value.get("kind", _kind(nouns[0]))
        return getattr(value, "kind", None)

    options = tuple(Annotated[written_form(noun), Tag(str(_kind(noun)))] for noun in nouns)
    return Annotated[Union[options], Discriminator(tell)]  # noqa: UP007


@cache
def written_form(noun: type[N]) -> type[N]:
    """Return the model of what a person writes for `noun`: axes allowed, kinds distinguished.

    It is a class below `noun`: what reads a suite as it is written knows its fields by that, and
    that a field marked AXIS may hold a tuple of values.
    """
    fields: dict[str, Any] = {}
    for name, info in noun.model_fields.items():
        if is_axis(info):
            plain = FieldInfo(
                default=info.default,
                description=info.description,
                json_schema_extra=info.json_schema_extra,
            )
            fields[name] = (_swept(info.annotation, info), plain)
        elif isinstance(info.default, BaseModel):
            form = written_form(type(info.default))
            default = form.model_validate(info.default.model_dump(exclude_unset=True))
            plain = FieldInfo(default=default, description=info.description)
            fields[name] = (_written(info.annotation), plain)
        else:
            fields[name] = (_written(info.annotation), info)
    rules: dict[str, Any] = {
        name: model_validator(mode="after")(rule.func)
        for name, rule in noun.__pydantic_decorators__.model_validators.items()
        if rule.info.mode == "after"
    }
    return create_model(
        noun.__name__, __base__=noun, __doc__=noun.__doc__, __validators__=rules, **fields
    )


def suite_form() -> type[Suite]:
    """Return the model that a suite file is checked against."""
    return written_form(Suite)
