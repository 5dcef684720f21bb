"""The pure half of the configuration: what is taken, what is newer, and whether a lost write has happened."""

import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies as st
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    OperationTimeoutError,
    SessionExpiredError,
    SystemErrorException,
)
from kazoo.handlers.eventlet import TimeoutError as HandlerTimeout
from pydantic import JsonValue

from app.consistency.eventual import INITIAL, Copy, encoded, has_happened, merged, newer, parse, publish
from app.errors import InDoubt, Malformed, Refused
from app.zookeeper import client as zk

# Numbers that every JSON library keeps, and text that can be written down.
WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3)
)
SIZES = st.integers(1, 1_000_000)
CONFIGURATIONS = st.dictionaries(WORDS, JSON, max_size=4).flatmap(
    lambda others: SIZES.map(lambda size: {**others, "chunk_size": size})
)

# Every way in which kazoo says that nobody has answered.
UNANSWERED = (
    ConnectionLoss,
    SessionExpiredError,
    ConnectionClosedError,
    OperationTimeoutError,
    SystemErrorException,
    HandlerTimeout,
)

MALFORMED = {
    "nothing": b"",
    "no JSON": b"chunk_size=1",
    "cut off": b'{"chunk_size": 1',
    "more than JSON": b'{"chunk_size": 1} x',
    "code": b"__import__('os').system('true')",
    "not UTF-8": b'{"chunk_size": 1, "x": "\xff"}',
    "UTF-16": '{"chunk_size": 1}'.encode("utf-16"),
    "a list": b"[1]",
    "a number": b"1024",
    "null": b"null",
    "deeply nested": b'{"chunk_size": 1, "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "open without end": b"[" * 100_000,
    "an endless number": b'{"chunk_size": 1, "x": ' + b"9" * 5000 + b"}",
}
OUT_OF_RANGE = ("0", "-1", "1000001", "true", "1.0", "1.5", '"1024"', "null", "[]", "9" * 5000, "NaN")


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_json_object_is_not_understood(data: bytes) -> None:
    with pytest.raises(Malformed, match=r"^no valid configuration: [^\n]+$") as refused:
        parse(data)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("size", OUT_OF_RANGE, ids=lambda size: size[:8])
def test_a_chunk_size_that_is_no_whole_number_in_range_is_not_understood(size: str) -> None:
    with pytest.raises(Malformed):
        parse(f'{{"chunk_size": {size}}}'.encode())


def test_the_reason_names_the_key() -> None:
    with pytest.raises(Malformed, match="chunk_size"):
        parse(b'{"chunk_size": 0}')
    with pytest.raises(Malformed, match="chunk_size"):
        parse(b"{}")


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_the_ends_of_the_range_belong_to_it(size: int) -> None:
    assert parse(json.dumps({"chunk_size": size}).encode()) == {"chunk_size": size}


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_bytes_are_understood_or_refused_and_nothing_else(data: bytes) -> None:
    with suppress(Malformed):
        size = parse(data)["chunk_size"]
        assert type(size) is int
        assert 1 <= size <= 1_000_000


@given(CONFIGURATIONS)
def test_keys_that_nobody_here_knows_are_kept(value: dict[str, JsonValue]) -> None:
    assert parse(encoded(value)) == value
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize("name", ["model_config", "__class__", "self", "data", "", "copy"])
def test_no_key_means_anything_to_the_schema_itself(name: str) -> None:
    assert parse(encoded({"chunk_size": 1, name: "x"}))[name] == "x"


def test_code_in_a_value_stays_text(tmp_path: Path) -> None:
    witness = tmp_path / "pwned"
    code = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    assert parse(encoded({"chunk_size": 1, "x": code}))["x"] == code
    for data in (code.encode(), encoded({"chunk_size": 1, "x": code})):
        with pytest.raises(Malformed):
            parse(data + code.encode())
    assert not witness.exists()


@given(CONFIGURATIONS, st.dictionaries(WORDS, JSON, max_size=3))
def test_a_change_is_laid_over_and_the_rest_is_kept(
    current: dict[str, JsonValue], change: dict[str, JsonValue]
) -> None:
    before = dict(current)
    result = merged(current, change)
    assert current == before
    assert {key: result[key] for key in change} == change
    assert {key: result[key] for key in result if key not in change} == {
        key: current[key] for key in current if key not in change
    }


@given(st.lists(st.integers(-1, 50)))
def test_a_copy_never_goes_back_whatever_it_is_offered(zxids: list[int]) -> None:
    held = Copy()
    for zxid in zxids:
        offered = Copy(zxid, {"chunk_size": 1})
        after = newer(held, offered)
        assert after in (held, offered)
        assert after.mzxid == max(held.mzxid, zxid)
        if zxid == held.mzxid:
            assert after is held
        held = after
    assert held.mzxid == max([-1, *zxids])


@pytest.mark.parametrize("value", [{}, {"chunk_size": 0}, {"chunk_size": "1"}, {"chunk_size": True}])
def test_an_invalid_configuration_is_never_encoded(value: dict[str, JsonValue]) -> None:
    with pytest.raises(Malformed):
        encoded(value)


@pytest.mark.parametrize(
    "odd", [float("nan"), float("inf"), "\ud800", 10**5000], ids=["nan", "inf", "half", "huge"]
)
def test_what_could_not_be_read_back_is_never_encoded(odd: JsonValue) -> None:
    with pytest.raises(Malformed, match=r"^no valid configuration: [^\n]+$") as refused:
        encoded({"chunk_size": 1, "x": odd})
    assert len(str(refused.value).splitlines()) == 1


def test_a_configuration_over_a_znodes_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Refused, match="nothing was written"):
        encoded({"chunk_size": 1, "x": "a" * zk.MAX_ZNODE_BYTES})


# --- whether an unanswered conditional write has happened --------------------------------------------------


def test_the_three_answers() -> None:
    assert has_happened(5, b"ours", 5, b"before") is False
    assert has_happened(5, b"ours", 6, b"ours") is True
    assert has_happened(5, b"ours", 6, b"theirs") is False
    assert has_happened(5, b"ours", 7, b"theirs") is None
    assert has_happened(-1, b"ours", -1, b"") is False
    assert has_happened(-1, b"ours", 0, b"ours") is True


@given(st.integers(0, 6), st.randoms(use_true_random=False))
def test_what_is_said_of_an_unanswered_write_is_never_wrong(steps: int, choose: random.Random) -> None:
    """The model knows what nobody in life can: whether our write, somewhere under way, was carried out."""
    store = _Store()
    ours, sent = encoded({"chunk_size": 2}), store.version
    happened = False
    for _ in range(steps):
        if choose.random() < 0.5:
            store.rival()
        elif not happened:
            happened = store.set(ours, sent)
        told = has_happened(sent, ours, store.version, store.data)
        assert told in (None, happened)
        if told is None:
            assert store.version > sent + 1  # it gives up only where it must


@dataclass
class _Store:
    """The configuration znode in memory, and rivals who publish to it."""

    data: bytes = b'{"chunk_size": 1}'
    version: int = 0
    mzxid: int = 100
    writes: list[bytes] = field(default_factory=list)

    def set(self, data: bytes, version: int) -> bool:
        if version != self.version:
            return False
        self.data, self.version, self.mzxid = data, self.version + 1, self.mzxid + 1
        self.writes.append(data)
        return True

    def rival(self) -> None:
        self.set(encoded({**parse(self.data), "theirs": self.version}), self.version)


class _Unreliable:
    """A client of the store as publish() uses it. A write may be lost, or arrive late; answers get lost."""

    connected = True

    def __init__(self, store: _Store, choose: random.Random) -> None:
        self._store = store
        self._choose = choose
        self._late: list[tuple[bytes, int]] = []
        self.ours: list[int] = []  # the zxid of each of our writes that was carried out

    def get_async(self, path: str, watch: None = None) -> "_Answer":
        del path, watch
        self._meanwhile()
        if self._choose.random() < 0.1:
            return _Answer(ConnectionLoss())
        return _Answer((self._store.data, self._stat()))

    def set_async(self, path: str, data: bytes, version: int) -> "_Answer":
        del path
        self._meanwhile()
        fate = self._choose.choice(("answered", "answered", "answer lost", "late", "lost"))
        if fate == "late":
            self._late.append((data, version))
        if fate in ("late", "lost"):
            return _Answer(ConnectionLoss())
        done = self._arrive(data, version)
        if fate == "answer lost":
            return _Answer(ConnectionLoss())
        return _Answer(self._stat() if done else BadVersionError())

    def _meanwhile(self) -> None:
        while self._late and self._choose.random() < 0.5:
            self._arrive(*self._late.pop(0))
        while self._choose.random() < 0.3:
            self._store.rival()

    def all_arrives(self) -> None:
        for late in self._late:
            self._arrive(*late)

    def _arrive(self, data: bytes, version: int) -> bool:
        done = self._store.set(data, version)
        if done:
            self.ours.append(self._store.mzxid)
        return done

    def _stat(self) -> SimpleNamespace:
        return SimpleNamespace(version=self._store.version, mzxid=self._store.mzxid)


@dataclass
class _Answer:
    """What kazoo's asynchronous calls return, already there."""

    value: object

    def get(self, timeout: float) -> object:
        del timeout
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@settings(max_examples=500)
@given(st.integers(0, 2**32))
def test_a_change_is_applied_once_or_never_whatever_is_lost_or_late(seed: int) -> None:
    store = _Store()
    client = _Unreliable(store, random.Random(seed))
    published = None
    with suppress(InDoubt):
        published = publish(client, {"ours": "x"})
    client.all_arrives()
    if published is None:
        assert len(client.ours) <= 1
        return
    assert client.ours == [published.mzxid]
    end = parse(store.data)
    assert end["ours"] == "x"
    # Nobody's last change is lost either.
    rivals = [write for write in store.writes if parse(write).get("theirs") is not None]
    assert not rivals or end["theirs"] == max(int(str(parse(write)["theirs"])) for write in rivals)


def test_a_write_that_was_lost_and_overtaken_casts_no_doubt_on_the_next() -> None:
    store = _Store()
    client = _Unreliable(store, random.Random(0))
    endings = iter(("lost", "beaten", "done"))

    def set_async(path: str, data: bytes, version: int) -> _Answer:
        ending = next(endings)
        if ending != "done":
            store.rival()
        if ending == "lost":
            return _Answer(ConnectionLoss())
        return _Answer(client._stat() if client._arrive(data, version) else BadVersionError())

    client.set_async = set_async  # type: ignore[method-assign]
    client.get_async = lambda path, watch=None: _Answer((store.data, client._stat()))  # type: ignore[method-assign]
    assert client.ours == [publish(client, {"ours": "x"}).mzxid]


@pytest.mark.parametrize("lost", UNANSWERED)
def test_a_change_that_was_never_sent_is_refused_and_one_that_was_is_in_doubt(lost: type[Exception]) -> None:
    client = _Unreliable(_Store(), random.Random(0))
    answers = {"get": _Answer(lost()), "set": _Answer(lost())}
    client.get_async = lambda path, watch=None: answers["get"]  # type: ignore[method-assign]
    client.set_async = lambda path, data, version: answers["set"]  # type: ignore[method-assign]
    with pytest.raises(Refused, match="not published"):
        publish(client, {"ours": "x"}, timeout_s=0.05)
    answers["get"] = _Answer((b'{"chunk_size": 1}', SimpleNamespace(version=0, mzxid=1)))
    with pytest.raises(InDoubt, match="no answer whether") as doubt:
        publish(client, {"ours": "x"}, timeout_s=0.05)
    assert doubt.value.ask_again == {"ours": "x"}


def test_bytes_that_are_no_object_are_replaced_by_the_next_publisher() -> None:
    store = _Store(data=b"__import__('os').abort()")
    client = _Unreliable(store, random.Random(0))
    client.set_async = lambda path, data, version: _Answer(  # type: ignore[method-assign]
        client._stat() if client._arrive(data, version) else BadVersionError()
    )
    client.get_async = lambda path, watch=None: _Answer((store.data, client._stat()))  # type: ignore[method-assign]
    publish(client, {"x": 1})
    assert parse(store.data) == {**INITIAL, "x": 1}
