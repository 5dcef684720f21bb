"""Taking an upload from the wire: multipart, streamed to disk, hashed on the way."""

from collections.abc import Callable
from typing import Any

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.http import parse_options_header

from app.mapreduce.uploads import Spool, UploadDisk
from app.web.answers import BadRequest

# Read from the socket at once: larger blocks are fresh memory every time, which is slow.
_BLOCK_BYTES = 1 << 16
# The fields beside the file, together: a few bytes in fact.
_MOST_FIELD_BYTES = 1 << 20
_MOST_HEADER_BYTES = 1 << 16  # a name may be long
_MOST_PARTS = 16
# A name is for people: longer ones are cut.
_MOST_NAME = 200


class BadUpload(BadRequest):
    """The request isn't an upload that can be read."""


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
    form = _Form(lambda: disk.spool(most_bytes))
    try:
        _read(environ["wsgi.input"].read, options["boundary"], length, form)
        return form.received()
    except BaseException:
        if form.spool is not None:
            form.spool.close()
        raise


def _read(read: Callable[[int], bytes], boundary: str, length: int | None, form: "_Form") -> None:
    parser = PushMultipartParser(
        boundary,
        content_length=-1 if length is None else length,
        max_header_size=_MOST_HEADER_BYTES,
        max_segment_count=_MOST_PARTS,
    )
    try:
        for event in parser.parse_blocking(read, _BLOCK_BYTES):
            form.take(event)
    except ParserLimitReached as error:
        raise BadUpload("the form has too many or too large fields", 413) from error
    except (TimeoutError, ConnectionError) as error:
        raise BadUpload("the upload stopped arriving: send it again", 408) from error
    except (MultipartError, ValueError, EOFError) as error:
        raise BadUpload("the upload broke off, or its form can't be read: send it again") from error


class _Form:
    """What has come of a form, part by part: at most one file, which goes to a spool, and small fields."""

    def __init__(self, new_spool: Callable[[], Spool]) -> None:
        self.spool: Spool | None = None
        self._new_spool = new_spool
        self._file = MultipartSegment([("Content-Disposition", "form-data; name=''")])
        self._part = self._file
        self._fields: dict[str, bytes] = {}

    def take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """The parser's next event: a part begins, has more bytes, or has ended. Raises BadUpload, OSError."""
        if isinstance(event, MultipartSegment):
            self._part = event
            if event.filename is not None:
                if self.spool is not None:
                    raise BadUpload("one file at a time")
                self._file, self.spool = event, self._new_spool()
        elif event is not None and self._part is self._file and self.spool is not None:
            self.spool.write(event)
        elif event is not None:
            self._fields[self._part.name] = self._fields.get(self._part.name, b"") + event
            if sum(map(len, self._fields.values())) > _MOST_FIELD_BYTES:
                raise BadUpload("the form has too many or too large fields", 413)

    def received(self) -> Received:
        """The form is whole. Raises BadUpload if it isn't an upload, or OSError."""
        if self.spool is None or self._file.name not in ("image", "file"):
            raise BadUpload("no file: send it as the field 'image', as in curl -F image=@picture.png ...")
        self.spool.finish()
        if self.spool.size == 0:
            raise BadUpload("the file is empty")
        fields = {name: value.decode(errors="replace") for name, value in self._fields.items()}
        return Received(self.spool, _plain_name(self._file.filename or ""), fields)


def _length(environ: dict[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH")
    return int(text) if text and text.isdecimal() else None


def _plain_name(name: str) -> str:
    """The last part of a path, printable: for people, and never for a file system."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:_MOST_NAME] or "unnamed"
