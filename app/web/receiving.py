"""Taking an upload from the wire: multipart, streamed to disk, hashed on the way."""

from typing import Any

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from app.errors import LessonError
from app.mapreduce.uploads import Spool, UploadDisk

# Read from the socket at once. The parser copies each block a few times; larger ones are fresh memory every
# time, which makes all of it three times slower.
_BLOCK_BYTES = 1 << 16
# The fields beside the file are a few bytes, but werkzeug counts a block in its buffer, too.
_MOST_FIELD_BYTES = 1 << 20
_MOST_PARTS = 16
# A name is for people: longer ones are cut.
_MOST_NAME = 200


class BadUpload(LessonError):
    """The request isn't an upload that can be read; ``status`` is HTTP's word for it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Received:
    """What came: the file, its name, and the other fields."""

    def __init__(self, spool: Spool, name: str, fields: dict[str, str]) -> None:
        self.spool = spool
        self.name = name
        self.fields = fields


def receive(environ: dict[str, Any], disk: UploadDisk, most_bytes: int) -> Received:
    """Read one multipart body. Raises BadUpload, TooLarge or OSError; then nothing is left."""
    kind, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise BadUpload("send the file as multipart/form-data: curl -F image=@picture.png ...", 415)
    length = _length(environ)
    if length is not None and length > most_bytes + _MOST_FIELD_BYTES:
        raise BadUpload(f"an upload may have {most_bytes >> 20} MiB: send a smaller file", 413)
    spools: list[Spool] = []

    def new_spool(*_: Any, **__: Any) -> Any:
        if spools:
            raise BadUpload("one file at a time")
        spools.append(disk.spool(most_bytes))
        return spools[0]

    try:
        return _parse(environ, options["boundary"], length, new_spool)
    except BaseException:
        for spool in spools:
            spool.close()
        raise


def _parse(environ: dict[str, Any], boundary: str, length: int | None, new_spool: Any) -> Received:
    parser = MultiPartParser(
        stream_factory=new_spool,
        max_form_memory_size=_MOST_FIELD_BYTES,
        buffer_size=_BLOCK_BYTES,
        max_form_parts=_MOST_PARTS,
    )
    try:
        form, files = parser.parse(environ["wsgi.input"], boundary.encode(), length)
    except (TimeoutError, ConnectionError) as error:
        raise BadUpload("the upload stopped arriving: send it again", 408) from error
    except (ClientDisconnected, ValueError, EOFError) as error:
        raise BadUpload("the upload broke off, or its form can't be read: send it again") from error
    except RequestEntityTooLarge as error:
        raise BadUpload("the form has too many or too large fields", 413) from error
    sent = files.get("image") or files.get("file")
    if sent is None or not isinstance(sent.stream, Spool):
        raise BadUpload("no file: send it as the field 'image', as in curl -F image=@picture.png ...")
    sent.stream.finish()
    if sent.stream.size == 0:
        raise BadUpload("the file is empty")
    return Received(sent.stream, _plain_name(sent.filename or ""), dict(form.items()))


def _length(environ: dict[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH")
    return int(text) if text and text.isdecimal() else None


def _plain_name(name: str) -> str:
    """The last part of a path, printable: for people, and never for a file system."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:_MOST_NAME] or "unnamed"
