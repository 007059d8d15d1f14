"""Imports that every cell needs, made once in the process that workers are forked from."""

import gc

import evaluation.grid.preflight
import evaluation.run.cell  # noqa: F401

gc.freeze()  # else the collector writes into all of it, and every worker gets a copy
