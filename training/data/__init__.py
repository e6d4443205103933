"""Generated training and test examples for qwren-nano.

Each job has its own file (pictures, sums, translation, lookup, tools, unknown).  They all make Groups (chat.py): a shared
beginning of a conversation with several questions about it.  batches.py turns groups into arrays for the training forward.
Everything is drawn from seeded generators; which split an example belongs to is decided by a hash of its content
(encoding.py), so nothing that is tested can have been trained.
"""
