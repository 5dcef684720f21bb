"""The scene of the exercise "drop the write-back": a value that is seen, and then not seen any more.

    python -m lab run -- python -m docs.exercises.no_write_back

v1 is everywhere. The hosts of 2 to 5 die while v2 is being written, so replica 1 alone has it: its writer is
in doubt, which is allowed. Ada reads from 1, 2 and 3 and gets v2. Then Bob reads from 3, 4 and 5.
"""

from docs.exercises.scene import Five, play


def seen_and_gone(five: Five) -> None:
    five.act("a write that reached one replica, and two reads after each other")
    five.write_everywhere(five.client("writer"))
    answers: list[int] = []

    def die_before_the_stores(index: int, held: object) -> None:
        answers.append(index)
        if len(answers) == five.replica_set.quorum.r:
            five.replica_set.die(2, 3, 4, 5)

    five.write_in_doubt(five.client("writer", on_answer=die_before_the_stores), only=1)
    five.read(five.client("ada"), "ada", 1, 2, 3)
    five.show()
    five.read(five.client("bob"), "bob", 3, 4, 5)
    five.replica_set.up()


if __name__ == "__main__":
    play("no_write_back", Five, seen_and_gone)
