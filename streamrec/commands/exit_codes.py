"""Exit codes of the commands. 2 is also what the command line ends with where an option is wrong."""

from __future__ import annotations

FAILED = 1  # a fault of streamrec, or an answer of "no": `replay` found a difference, `doctor` a broken part
MISTAKE = 2  # something that the user can mend
CUT_OFF = 3  # a recording was cut off, damaged, or lost on the way
HUNG_UP = 129  # after the terminal was closed
INTERRUPTED = 130  # after Ctrl-C, as shells have it
