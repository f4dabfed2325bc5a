"""From a trained retriever to the champion, and back from a version to all that it was made of.

candidate     what asks to be champion: its bytes, its scores, what they were taken on (data_sets)
gate          the checks: better beyond chance, nothing else worse, loads elsewhere
decision      the gate against the champion of now: champion, or challenger only
register      the whole way under one lock: run (registered_run, origin), version, decision
aliases       which version is @champion, @previous, @challenger; by hand: promote, rollback
lineage       from a version, a folder or a hash to commit, data, settings and scores
reproduction  a version checked out, trained data verified, scored again
"""
