"""Decides from a recorded history what a system kept; it knows no protocol and nothing else of app.

history          operations and faults, recorded as they happen
parsing          a history read back from its lines
verdict          held, violated or in doubt, and why
linearizability  one register
guarantees       the models for replicas: monotonic reads, convergence
durability       what was acknowledged is kept, what was aborted is not
wording          operations in sentences
"""
