"""What faults cost: real processes, servers and disks are made to fail. See ``__main__``."""
