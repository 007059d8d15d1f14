"""Exit codes of the command line, and what each says."""

OK = 0
FAILED = 1
BAD_INPUT = 2
TOO_WEAK = 3
DEFECT = 4
INTERRUPTED = 130
BROKEN_PIPE = 141

MEANINGS = {
    OK: "done; an audit: consistent",
    FAILED: "a cell failed; an audit: a claim is violated or a limit passed",
    BAD_INPUT: "bad input, or a file that cannot be read or written, told in one line",
    TOO_WEAK: "an audit: too weak to say",
    DEFECT: "a defect of the program",
    INTERRUPTED: "interrupted; the same command continues",
    BROKEN_PIPE: "whoever read the output has gone",
}


def meanings(*codes: int) -> str:
    """Return the meanings of codes in a line.

    >>> meanings(OK, TOO_WEAK)
    '0: done; an audit: consistent. 3: an audit: too weak to say.'
    """
    return " ".join(f"{code}: {MEANINGS[code]}." for code in codes)
