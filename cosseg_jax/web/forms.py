"""Forms with files (multipart/form-data), read into memory while they arrive."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from cosseg_jax.errors import UserError

NOT_A_FORM = "send a form: multipart/form-data, as curl -F does"


class FormFile(NamedTuple):
    """A file of a form: the field's name, its own one, and what it holds."""

    field: str
    name: str
    content: bytes


class Form(NamedTuple):
    """What a form holds: texts by their fields' names, and files in their order."""

    texts: dict[str, str]
    files: list[FormFile]

    def files_of(self, field: str) -> list[FormFile]:
        """The files of a field."""
        return [file for file in self.files if file.field == field]


async def read_form(
    content_type: str, parts: AsyncIterator[bytes], check_file: Callable[[FormFile], None]
) -> Form:
    """Reads a form.

    parts: of the body, whose size the caller limits.
    check_file: called with each file when it is whole; what it raises ends the reading.

    Raises UserError for what is not such a form.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise UserError(NOT_A_FORM)
    form = Form({}, [])

    def on_field(field: Field) -> None:
        form.texts[_text(field.field_name)] = _text(field.value)

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        found = FormFile(_text(file.field_name), _text(file.file_name), file.file_object.read())
        check_file(found)
        form.files.append(found)

    config = {"MAX_MEMORY_FILE_SIZE": float("inf")}  # nothing goes to the disk
    try:
        parser = FormParser(
            "multipart/form-data", on_field, on_file, boundary=options[b"boundary"], config=config
        )
        async for part in parts:
            parser.write(part)
        parser.finalize()
    except FormParserError as error:
        raise UserError(f"the form cannot be read; {NOT_A_FORM}") from error
    return form


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", errors="replace")
