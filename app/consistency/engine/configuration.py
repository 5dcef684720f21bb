"""What the configuration may be: a JSON object with its known keys in range. It is parsed, never executed."""

from collections.abc import Mapping
from contextlib import suppress

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from app.errors import Malformed
from app.zookeeper import client as zk, paths

INITIAL = {"chunk_size": 1024}


class Parameters(BaseModel):
    """The keys that the worker knows, with their ranges. Keys that it doesn't know are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    chunk_size: int = Field(ge=1, le=1_000_000, strict=True)  # rows (or lines) per map task


_JSON_OBJECT = TypeAdapter(dict[str, JsonValue])


def parse(data: bytes) -> dict[str, JsonValue]:
    """The configuration in ``data``. Raises Malformed."""
    try:
        value = _JSON_OBJECT.validate_json(data)
        Parameters.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"no valid configuration: {where + ': ' if where else ''}{first['msg']}"
        raise Malformed(message) from error
    return value


def parse_leniently(data: bytes) -> dict[str, JsonValue]:
    """What a change is merged into: any JSON object. Other bytes are replaced, by :data:`INITIAL`."""
    try:
        return _JSON_OBJECT.validate_json(data)
    except ValidationError:
        return dict(INITIAL)


def publish_first(client: KazooClient, deadline: zk.Deadline) -> None:
    """Publish :data:`INITIAL` where there is nothing; it replaces nothing. Raises one of zk.NO_REPLY."""
    with suppress(NodeExistsError):
        zk.wait(client.create_async(paths.CONFIG, encoded(INITIAL), makepath=True), deadline)


def encoded(value: Mapping[str, JsonValue]) -> bytes:
    """The znode's bytes. Raises Malformed or Refused: what can't be read back is never written."""
    try:
        data = _JSON_OBJECT.dump_json(dict(value))
    except ValueError as error:
        message = f"no valid configuration: {str(error).splitlines()[0]}"
        raise Malformed(message) from error
    if parse(data) != value:
        message = "no valid configuration: JSON has no NaN or infinity, and would keep null instead"
        raise Malformed(message)
    zk.check_size(data, "a configuration")
    return data
