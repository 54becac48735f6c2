"""Shared by the quick tests and the fault tests: the mark `fault`."""

pytest_plugins = ["fault_marks"]
