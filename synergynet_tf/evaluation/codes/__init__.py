"""Analysis of a trained codebook: what its codes stand for, and what they do.

    analysis.py       `report_codes` runs everything below on a run, and writes
                      `codes.json` and figures; `format_report` returns it as text
    model.py          a model split at its codes; cases encoded by it
    agreement.py      codes against classes: purity, mutual information, chance levels
    interventions.py  codes switched off or swapped, parts averaged (ablations)
    plots.py          figures of codes, attention and interventions

The command `code_maps` calls `report_codes` and `format_report`; other folders need
nothing else of this one. `model.py` imports none of these files, `analysis.py` all.
"""
