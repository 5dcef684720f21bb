"""The easy demo's participants: copies of the configuration, and what the checker hears of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from kazoo.client import KazooClient
from pydantic import JsonValue

from app.cluster.messages import Entry, Part
from app.consistency.as_in_the_notes import overwrite
from app.consistency.eventual import INITIAL, ConfigReplica, Copy, current_zxid, encoded, publish
from app.demo.participants import Participant
from app.demo.remote import RemoteConfig
from app.demo.stage import Stage
from app.demo.waiting import Stopwatch
from app.errors import InDoubt

# The safety net's period, in seconds: shorter than a worker's, so that "it last heard" is seen to move.
_REFRESH_S = 1.0


class Copies:
    """Participants with one copy of the configuration each."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def bring(self, count: int) -> None:
        overwrite(self.stage.client, encoded(INITIAL))
        part = Part(kind="config", refresh_s=_REFRESH_S)
        for name in self.stage.names("replica", count):
            self.stage.bring(name, partial(self._roles, name), part=part, heard=partial(self._heard, name))
        self.settle()

    def _roles(self, name: str, client: KazooClient) -> list[ConfigReplica]:
        on_apply = partial(self._observe, name)
        return [ConfigReplica(client, name, on_apply=on_apply, refresh_s=_REFRESH_S)]

    def _heard(self, name: str, entry: Entry, at_ns: int) -> None:
        """What a copy in a pod has applied, and when."""
        self._observe(name, Copy(entry.mzxid, entry.value), at_ns)

    def _observe(self, name: str, copy: Copy, at_ns: int | None = None) -> None:
        """Record what a copy holds at this moment, or held at that one."""
        for key, value in (copy.value or {}).items():
            assert isinstance(value, int)
            self.stage.recorder.observe(name, self.stage.key(key), value, (copy.mzxid, ""), at_ns)
        self.stage.notify()

    # -- what they hold --

    def of(self, participant: Participant) -> ConfigReplica | RemoteConfig:
        """The copy that this participant keeps, here or in its pod."""
        only = participant.role
        assert isinstance(only, ConfigReplica | RemoteConfig)
        return only

    def value(self, participant: Participant) -> dict[str, JsonValue]:
        return dict(self.of(participant).copy.value or {})

    def common(self) -> Copy:
        """What all of them hold, once they have settled. Raises InDoubt if they differ."""
        first, *others = [self.of(one).copy for one in self.stage.present]
        if any(other != first for other in others):
            raise InDoubt("the copies hold different values")
        return first

    def lags(self, since: Stopwatch) -> list[tuple[str, str, str]]:
        """For the screen: each copy's zxid, and how long after that moment it was applied."""
        copies = [(one.name, self.of(one)) for one in self.stage.present]
        return [(name, f"{copy.copy.mzxid:#x}", since.ms(copy.applied_at)) for name, copy in copies]

    def settle(self, without: Participant | None = None) -> None:
        """Wait until every copy (but one) holds what the store holds now. Raises InDoubt."""
        latest = current_zxid(self.stage.client)
        awaited = [one for one in self.stage.present if one is not without]
        if not self.stage.until(lambda: all(self.of(one).copy.mzxid >= latest for one in awaited)):
            raise InDoubt(f"the copies have not converged on zxid {latest:#x} within 10 s")

    def read(self, *participants: Participant) -> None:
        """A read of each of these copies, recorded; by default, of all that are present."""
        for one in participants or self.stage.present:
            self._observe(one.name, self.of(one).copy)

    # -- publishing --

    def write(self, process: str, key: str, value: int, push: Callable[[dict[str, JsonValue]], int]) -> int:
        """Have ``push`` publish one key, and record it; returns the zxid of the write."""
        written: tuple[int, str] = self.stage.write(
            process, self.stage.key(key), value, lambda: (push({key: value}), "")
        )
        return written[0]

    def publish(self, process: str, client: KazooClient, key: str, value: int) -> int:
        """By the full protocol; returns how many sets it took."""
        counting = _CountsSets(client)
        self.write(process, key, value, lambda change: publish(counting, change).mzxid)
        return counting.sets

    def start_again(self) -> None:
        """A configuration with one known key, recorded as a write like any other."""
        client = self.stage.client
        self.write("setup", "chunk_size", self.stage.fresh(), lambda value: overwrite(client, encoded(value)))
        self.settle()
        self.stage.story.say(f"a new start: every copy holds {self.common().value}")


class _CountsSets:
    """A client that counts the sets that it sends."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self.sets = 0

    def __getattr__(self, name: str) -> Any:
        self.sets += name == "set_async"
        return getattr(self._client, name)
