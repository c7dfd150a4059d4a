"""The fault suite: real processes, a real Postgres and real files, broken on purpose.

`make chaos` runs all of it, `tests/test_chaos.py` a short form. One function is one fault (`trainers`, `clusters`, `surroundings`,
`crowds`), each run in a process, a database and a folder of its own (`site`), with an oracle looking on (`oracle`).
"""
