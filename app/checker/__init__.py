"""Decides from a recorded history what a system kept; it knows no protocol and nothing else of app.

history          operations and faults, recorded as they happen
parsing          a history read back from its lines
verdict          held, violated or in doubt, and why
judges           the last word on a run of each demo
linearizability  one register
guarantees       what a history kept of every model of the chapter, and which of them implies which
sequential       one order for all; causal: one for each process; both by
relations        what must come before what, where no clock counts
sessions         monotonic reads, read your writes; by the clock
write_order      monotonic writes, writes follow reads
convergence      what everybody reads in the end
replicas         what replicas of a configuration promise, by the versions that they name
durability       what was acknowledged is kept, what was aborted is not
register         what linearizability, sessions and convergence know of one key
witness          the fewest guilty operations
wording          operations in sentences
points           where each operation of a linearizable history took effect
timeline         a history as one HTML page
"""
