"""The paper's experiments: each row of its Tables 1 to 9, its settings and numbers.

A row is what it changes of the defaults, which are the paper's recipe, and what the
paper prints for it. A budget is a preset: what is changed in every row alike, to spend
less than that recipe. Both are data; `jobs` trains them, `evaluation` prints them.
"""

from synergynet_tf.experiments.budgets import (
    BUDGETS,
    Budget,
    comparable,
    runs_folder,
    settings_of,
)
from synergynet_tf.experiments.paper import METHOD_TABLES, PAPER, TABLES
from synergynet_tf.experiments.table import Row, Table

__all__ = [
    "BUDGETS",
    "METHOD_TABLES",
    "PAPER",
    "TABLES",
    "Budget",
    "Row",
    "Table",
    "comparable",
    "runs_folder",
    "settings_of",
]
