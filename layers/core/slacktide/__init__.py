"""Slacktide's core: what the functions do, as a library that knows nothing of Lambda.

A batch is one input file and what becomes of it; a job is one piece of its work at one backend; a round is one pass over the
lines that are still undone. `docs/architecture.md` draws how the parts fit.
"""

__version__ = "0.1.0"
