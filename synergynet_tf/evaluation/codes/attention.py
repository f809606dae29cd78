"""What the attention of SynergyNet's bottleneck does over a dataset.

DisConX (soft): how many continuous tokens a discrete one looks at. Of the weights `p`
of a query, `H = -sum p log2 p` bits; `2^H` tokens would have it if all weighed alike.
How much the codes, its queries, decide of that: entropy of the mean weights of all
queries of an image, less the mean `H`. At 0 bits all look at the same.

Refinement (hard): which tokens are picked, how often a token picks itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synergynet_tf.evaluation.codes.model import Bottleneck


def entropy_bits(weights: np.ndarray) -> np.ndarray:
    """Returns the entropy of weights `(..., n)` that sum to 1: `(...)`."""
    weights = weights.astype(np.float64)
    logarithm = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
    return -(weights * logarithm).sum(axis=-1)


class AttentionSummary:
    """Means over all images and tokens, for each head."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Any]] = {"disconx": {}, "refinement": {}}
        self._images = 0
        self._tokens = 0

    def add(self, look: Bottleneck) -> None:
        """Adds the images of a batch."""
        self.add_weights(look.attention, look.picks)

    def add_weights(
        self, attention: np.ndarray | None, picks: np.ndarray | None
    ) -> None:
        """Adds the images of a batch; arguments are those of a `Bottleneck`."""
        there = attention if attention is not None else picks
        if there is None:
            return
        self._images += len(there)
        self._tokens = there.shape[2]
        if attention is not None:
            entropy = entropy_bits(attention)
            self._count("disconx", "entropy_bits", entropy)
            self._count("disconx", "effective_tokens", 2**entropy)
            own = np.diagonal(attention, axis1=2, axis2=3)
            self._count("disconx", "weight_of_own_position", own)
            of_all = entropy_bits(attention.mean(axis=2, dtype=np.float64))
            told = of_all - entropy.mean(axis=-1)
            self._count("disconx", "told_by_query_bits", told[..., None])
        if picks is not None:
            itself = picks == np.arange(self._tokens)
            self._count("refinement", "picks_itself", itself)
            in_order = np.sort(picks, axis=-1)
            distinct = 1 + (np.diff(in_order, axis=-1) > 0).sum(axis=-1, keepdims=True)
            self._count("refinement", "distinct_picks", distinct)

    def results(self) -> dict[str, dict[str, Any] | None]:
        """Returns the means of `disconx` and `refinement`; `None` if not there.

        `tokens` is how many there are; each other entry has its mean `per_head` and
        over all heads, `mean`.
        """
        return {part: self._result(sums) for part, sums in self._sums.items()}

    def _result(self, sums: dict[str, Any]) -> dict[str, Any] | None:
        if not sums:
            return None
        means = {name: total / self._images for name, total in sums.items()}
        return {
            "tokens": self._tokens,
            **{
                name: {"mean": float(heads.mean()), "per_head": heads.tolist()}
                for name, heads in means.items()
            },
        }

    def _count(self, part: str, name: str, values: np.ndarray) -> None:
        """Adds values `(images, heads, tokens)`, as the mean over tokens."""
        total = values.mean(axis=-1).sum(axis=0, dtype=np.float64)
        self._sums[part][name] = self._sums[part].get(name, 0.0) + total
