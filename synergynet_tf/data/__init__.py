"""Datasets, preprocessing, splits and batches.

A dataset is a module with the names of `spec.Dataset`. To add one, write it and add
its line to `DATASETS`.
"""

from synergynet_tf.data.datasets import acdc, bts, folder, isic, msd, phantom, synapse
from synergynet_tf.data.spec import Case, Dataset

__all__ = ["DATASETS", "Case", "Dataset"]

DATASETS: dict[str, Dataset] = {
    "isic": isic,
    "acdc": acdc,
    "synapse": synapse,
    "bts": bts,
    "msd": msd,
    "folder": folder,
    "phantom": phantom,
}
