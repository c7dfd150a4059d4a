"""`make soak`: an hour under a steady load while days pass. What grows, slows down or goes wrong in the ledger is a problem.

The service runs as deployed, with a fake Yahoo as its price source and a clock of its own, in all its processes and its database.
Every five minutes that clock goes on by a day: the daily job finds new bars, scores, forecasts and requests retrainings.
"""
