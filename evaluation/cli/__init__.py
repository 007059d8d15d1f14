"""Command line: options in, one function called, exit code out."""
