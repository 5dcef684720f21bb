"""The scene of the exercise "use the client's id as the version": one version with two values.

    python -m lab run -- python -m docs.exercises.clients_id

A client's write of v2 reaches replica 1 alone. That host dies, and the same client writes v3 to the other
four, where it can't know of v2: so its counter is the same. Then both are there, and which of them is read is
a question of who answers first.
"""

from docs.exercises.scene import PATIENCE_S, Five, play

# Far longer than any replica needs to answer, on a busy machine too.
LATE_S = 0.3


def one_version_two_values(five: Five) -> None:
    five.act("one client: a write in doubt, and its next one")
    hosts = five.replica_set.hosts
    answers: list[int] = []

    def die_before_the_stores(index: int, held: object) -> None:
        answers.append(index)
        if len(answers) == 2 * five.replica_set.quorum.r:  # its second write
            five.replica_set.die(2, 3, 4, 5)

    client = five.client("ada", on_answer=die_before_the_stores)
    five.write_everywhere(client)
    five.write_in_doubt(client, only=1)
    five.replica_set.only(2, 3, 4, 5)
    client.write(newest := five.stage.unique("v"))
    five.stage.require(lambda: five.values()[1:] == [newest] * 4, "the four have it")
    client.close()
    five.stage.story.say(f"host 1 dies, the others return: {newest} is written, and acknowledged")
    five.replica_set.only(1, 2, 3)
    five.show()
    reader = five.client("bob", timeout_s=4 * PATIENCE_S)  # an answer takes a few ways there and back
    for first, late in ((1, (2, 3)), (2, (1,))):
        for number in late:
            hosts[number - 1].slow(LATE_S)
        found = reader.read()
        for number in late:
            hosts[number - 1].heal()
        five.stage.story.say(f"replica {first} answers first: bob reads {found}")
    five.replica_set.up()


if __name__ == "__main__":
    play("clients_id", Five, one_version_two_values)
