"""What every table of the file has in common: strict types, no unknown keys, described by its docstrings."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class TomlSchema(GenerateJsonSchema):
    """JSON Schema of what one writes in TOML, which has no null: what may be left out is not nullable."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Describe only the value; leaving the key out is what None stands for."""
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Say no: a title that repeats the key is noise in an editor."""
        return False


class StringOrTable:
    """Describes to editors that a table may be written as an address alone."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        pattern = "^(https?://)?[^/]+:[0-9]{1,5}$"
        return {"anyOf": [{"type": "string", "pattern": pattern}, handler(schema)]}


def section_of(annotation: Any) -> type[Section] | None:
    """Return the table that a value of this type is or holds: through `X | None`, lists, dicts."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in get_args(annotation):
        found = section_of(argument)
        if found is not None:
            return found
    return None


def sections_within(section: type[Section]) -> Iterator[type[Section]]:
    """Yield `section` and every table that can stand somewhere inside it."""
    yield section
    for field in section.model_fields.values():
        child = section_of(field.annotation)
        if child is not None:
            yield from sections_within(child)


def defaults_of(section: type[Section]) -> dict[str, Any]:
    """Return the defaults of a table as one writes them; None where leaving the key out is the default."""
    return section.model_construct().model_dump(mode="json")


def example_of(section: type[Section], key: str) -> Any:
    """Return a value that is right for `key`, as one writes it: its first example, else its default."""
    field = section.model_fields[key]
    return field.examples[0] if field.examples else defaults_of(section).get(key)
