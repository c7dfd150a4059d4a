"""The Django database engine `stockpred.postgres`: Django's own, with a health check that needs no statement."""
