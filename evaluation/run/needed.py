"""Modules that every cell needs: imported where cells run, before the first one is begun."""

NEEDED = (
    "evaluation.grid.preflight",
    "evaluation.attacking.foresight",
    "evaluation.run.cell",
    "sklearn.feature_extraction.text",  # of the blind baseline
    "sklearn.linear_model",
)
