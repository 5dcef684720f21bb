"""The scene of the exercise "publish without a version": two publishers, of whom one is slow.

    python -m lab run -- python -m docs.exercises.blind_publisher

Ada has read the configuration, and is about to send her change of it. Just then Bob publishes a change of
another key. Both are told that all is well.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from app.checker.guarantees import converged
from app.consistency.as_in_the_notes import overwrite
from app.consistency.eventual import INITIAL, ConfigReplica, encoded, publish
from app.demo.participants import Participant
from app.demo.stage import Stage
from docs.exercises.scene import play


class Slow:
    """A client between whose first read and first write there is time: ``meanwhile`` happens then.

    Not a slow link: the moment is exact, so one run is enough on any machine.
    """

    def __init__(self, client: Any, meanwhile: Callable[[], object]) -> None:
        self._client = client
        self._meanwhile: Callable[[], object] | None = meanwhile

    def set_async(self, *args: Any, **options: Any) -> Any:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self._client.set_async(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Publishers:
    """Ada and Bob, each with a session and a copy of the configuration."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        overwrite(stage.client, encoded(INITIAL))
        self.ada, self.bob = (stage.bring(name, partial(copy, name)) for name in ("ada", "bob"))
        self.clients = {one.name: stage.session(one) for one in (self.ada, self.bob)}

    def publish(self, who: Participant, key: str, value: int, client: Any = None) -> None:
        client = client or self.clients[who.name]
        self.stage.write(
            who.name,
            self.stage.key(key),
            value,
            lambda: (publish(client, {key: value}, timeout_s=10).mzxid, ""),
        )
        self.stage.story.say(f"{who.name} publishes {key}={value}: ok")


def copy(name: str, client: object) -> list[ConfigReplica]:
    return [ConfigReplica(client, name, refresh_s=1.0)]


def two_publishers(cast: Publishers) -> None:
    stage = cast.stage
    stage.story.act("ada reads; bob reads and publishes; ada's change arrives")
    size, reducers = stage.fresh(), stage.fresh()
    cast.publish(cast.bob, "reducers", stage.fresh())
    slow = Slow(cast.clients["ada"], lambda: cast.publish(cast.bob, "reducers", reducers))
    cast.publish(cast.ada, "chunk_size", size, slow)
    wanted = {"chunk_size": size, "reducers": reducers}
    stage.until(lambda: all(one.role.copy.value == wanted for one in (cast.ada, cast.bob)), 3.0)
    for one in (cast.ada, cast.bob):
        held = dict(one.role.copy.value or {})
        stage.story.say(f"{one.name}'s copy ends with {held}")
        for key, value in held.items():
            stage.recorder.observe(one.name, stage.key(key), value, (one.role.copy.mzxid, ""))


if __name__ == "__main__":
    play("blind_publisher", Publishers, two_publishers, converged)
