"""Runs a program that insists on a terminal, and ends with its exit status: PROGRAM ARGUMENTS..."""

import os
import pty
import signal
import sys

# A program that asks a question, which nobody here answers, goes with its terminal.
signal.alarm(60)
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
