"""Decides from a recorded history what a system kept; it knows no protocol and nothing else of app.

history          operations and faults, recorded as they happen
parsing          a history read back from its lines
verdict          held, violated or in doubt, and why
judges           the last word on a run of each demo
linearizability  one register
guarantees       what a history kept of every model of the chapter
models           their definitions, and which implies which; decided by
orders           what must come before what in an order that explains the reads
search           such an order of several keys, where no rule finds one
convergence      what everybody reads in the end
replicas         what replicas of a configuration promise, by the versions that they name
durability       what was acknowledged is kept, what was aborted is not
register         what linearizability and convergence know of one key
witness          the fewest guilty operations
wording          operations in sentences
points           where each operation of a linearizable history took effect
timeline         a history as one HTML page
"""
