"""Shared by the quick tests and the fault tests: the mark `fault`, and signals as in a terminal."""

import signal

pytest_plugins = ["fault_marks", "plain_terminal"]

# A job that a shell starts in the background ignores Ctrl-C, and so does whatever it starts. The
# processes that tests interrupt must not: one with a handler of its own leaves its children the
# default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
