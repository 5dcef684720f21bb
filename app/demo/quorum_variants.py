"""Acts of the hard demo for other settings than its usual one: pods as hosts, and quorums that don't meet."""

from app.checker.judges import judge_registers
from app.demo.replica_set import ReplicaSet
from app.zookeeper import client as zk

_BREATH_S = 0.2
# A session of two seconds expires within three; the longest that --session-timeout-s admits takes more.
DEATH_IS_NOTICED_S = 20.0


def hosts_die_while_a_client_writes(replicas: ReplicaSet) -> None:
    """With pods no death can be timed between two acknowledgements: a client writes until it is noticed."""
    stage, story = replicas.stage, replicas.stage.story
    replicas.act("two hosts die while a client writes")
    client, writes = replicas.client("client-1"), 0
    for number in (2, 3):
        replicas.hosts[number - 1].crash()
    patience = zk.Deadline(DEATH_IS_NOTICED_S)
    while not (noticed := replicas.dead(2, 3)) and not patience.passed:
        client.write()
        writes += 1
        stage.rest(_BREATH_S)
    newest = client.write()
    client.close()
    both = " and ".join(host.name for host in replicas.hosts[1:3])
    until = "until their sessions have expired" if noticed else "but not both sessions have expired"
    story.say(f"{both} crash; {writes} writes succeed, {until}; then {newest}")
    replicas.show_and_read(newest)


def what_weak_costs(replicas: ReplicaSet) -> None:
    """``--weak``: a read quorum that doesn't meet the write's returns what was overwritten."""
    stage, story, q = replicas.stage, replicas.stage.story, replicas.quorum
    replicas.act(f"--weak: R+W = {q.r + q.w} <= N = {q.n}")
    client = replicas.client("client-1")
    client.write()
    replicas.only(*range(1, q.w + 1))
    newest = client.write()
    client.close()
    replicas.only(*range(q.w + 1, q.n + 1))
    found = client.read()
    story.say(f"{newest} is written to {q.w} replicas, and acknowledged; a read of the others: {found}")
    story.verdict_of(judge_registers(stage.history(stage.protocol)))
