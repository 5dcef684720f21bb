"""The medium demo's load: stubborn users, each with one request after another, while the pair loses pods."""

from app.demo.faults import OF_A_TRANSACTION
from app.demo.load import endings
from app.demo.pair import Pair
from app.errors import Aborted, Fenced, InDoubt, LessonError, NoBackup
from app.zookeeper import client as zk

# One participant lost at a time, and time to recover: a session has to expire before the backup takes over.
_FAULT_EVERY_S = (0.5, 2.5)
_THINK_S = (0.05, 0.35)
# A user who finds no primary, or a primary that refuses for the moment, tries again this long; in seconds.
_PATIENCE_S = 10.0
_BREATH_S = 0.1


def under_load(pair: Pair) -> None:
    """The act with the load."""
    stage = pair.stage

    def request(number: int) -> None:
        if stage.enough():  # with too few pods left, the run ends
            job_id, payload = pair.request()
            pair.record(f"user-{number}", job_id, payload, lambda: insist(pair, job_id, payload.encode()))

    pair.ready()
    what = f"requests by {stage.options.clients} users"
    with stage.load(what, at_most=1, every_s=_FAULT_EVERY_S, moments=OF_A_TRANSACTION):
        stage.crowd(request, _THINK_S)
    pair.ready()
    epoch = pair.leading().epoch.number
    done = [op for op in stage.history("full").operations if op.process.startswith("user-")]
    stage.story.say(endings(done))
    stage.story.say(f"epoch {epoch} now; at the end, every answer is checked against both disks")


def insist(pair: Pair, job_id: str, payload: bytes) -> None:
    """The same id again, at the present primary, until there is a decision. Raises the last answer."""
    patience = zk.Deadline(_PATIENCE_S)
    doubt: InDoubt | None = None
    last: LessonError
    while True:
        try:
            pair.leading().submit(job_id, payload)
            return
        except Aborted:
            raise
        except InDoubt as error:
            doubt = last = error
        except (NoBackup, Fenced) as error:
            # This attempt did nothing; an earlier one without an answer still may have.
            last = doubt or error
        if patience.passed:
            raise last
        pair.stage.rest(_BREATH_S)
