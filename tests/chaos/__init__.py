"""The fault suite: real processes, a real Postgres and real files, broken on purpose.

`make chaos` runs all of it, `tests/test_chaos.py` a short form. Each fault is one function (in `trainers`, `clusters`,
`surroundings`, `damages`, `crowds`). It runs with its own process, database and folder (`site`) while an oracle checks invariants
(`oracle`).
"""
