"""What one row's process gets on its command line."""

import json
from dataclasses import asdict, dataclass

# A host or a member that is silent this long is dead; the clients' sessions outlive every fault.
HOST_SESSION_S = 3.0
CLIENT_SESSION_S = 10.0
# The longest that one operation may take before its caller is in doubt.
OPERATION_S = 1.0
STEP_S = 20.0


@dataclass(frozen=True, slots=True)
class Orders:
    """Attributes:
    mechanism: the row's name.
    follower: the server that will be cut off from its leader.
    others: all other servers.
    chroot: the row's own root, prepared.
    folder: for its participants' disks; the matrix removes it.
    seed: of the nemesis, and of what the clients choose.
    """

    mechanism: str
    follower: str
    others: str
    chroot: str
    folder: str
    seed: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Orders":
        return cls(**json.loads(text))

    def home(self, client: str) -> str:
        """The servers of a client: carol's is the one that will be cut off."""
        return self.follower if client == "carol" else self.others
