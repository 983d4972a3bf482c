"""Runs a program that insists on a terminal, and ends with its exit status: PROGRAM ARGUMENTS..."""

import os
import pty
import sys

sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
