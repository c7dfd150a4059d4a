"""The attack suite: the service as deployed, attacked over HTTP while an honest client measures what it feels.

`make attack` runs all of it, `tests/test_attack.py` a short form. Each attack is one function (in `connections`, `floods`,
`intruders`, `malformed`), which returns the promises that were broken. Every attacker has an address of its own in 127.0.0.0/8.
"""
