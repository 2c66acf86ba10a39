"""The commands, one a module; ``lbcore.__main__`` imports the one that is asked for."""
