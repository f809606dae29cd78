"""Tables of scores: runs, comparisons, and the paper's."""
