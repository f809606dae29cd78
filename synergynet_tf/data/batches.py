"""Training and validation batches of a prepared store, for any Keras backend."""

from __future__ import annotations

import keras
import numpy as np

from synergynet_tf.data.augment import AUGMENTATIONS
from synergynet_tf.data.store import Store


class Batches(keras.utils.PyDataset):
    """Batches `(images, labels)` of a store, as a `PyDataset`.

    Training: each epoch has its own order and its own augmentation, and leaves out
    the images that do not fill a batch. Otherwise: in order, as they are, the last
    batch short. Pass `shuffle=False` to `fit`, which else serves the batches of an
    epoch in another order.

    A batch depends on the seed, the epoch and the step alone. So an interrupted
    training goes on exactly where it was once `epoch` is set.

    Args:
        store: The prepared images and labels.
        batch_size: Images per batch, at least 1.
        seed: Seed of the order and the augmentation, at least 0.
        training: Whether to shuffle and augment.
        augmentation: A key of `data.augment.AUGMENTATIONS`.

    Attributes:
        epoch: The epoch that indexing serves, from 0. The caller must set it: Keras
            moves on at moments that differ between its backends.
        first_step: The step that index 0 serves; those before it come last.

    Raises:
        ValueError: If the batch size is below 1 or the store is empty.
    """

    def __init__(
        self,
        store: Store,
        batch_size: int,
        seed: int,
        training: bool,
        augmentation: str = "paper",
    ):
        super().__init__()
        if batch_size < 1:
            raise ValueError(
                f"`batch_size` must be at least 1. Received: batch_size={batch_size}"
            )
        if not len(store.labels):
            raise ValueError("`store` must hold at least 1 image. Received: 0 images")
        self.store = store
        self.batch_size = batch_size
        self.seed = seed
        self.training = training
        self.augment = AUGMENTATIONS[augmentation]
        self.epoch = 0
        self.first_step = 0

    def __len__(self) -> int:
        """Returns the number of batches an epoch."""
        whole, rest = divmod(len(self.store.labels), self.batch_size)
        return max(whole, 1) if self.training else whole + (rest > 0)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns batch `first_step + step` of the current epoch."""
        return self.batch(self.epoch, (self.first_step + step) % len(self))

    def batch(
        self, epoch: int, step: int, part: int = 0, of: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns batch `step` of an epoch, or a part of it.

        Args:
            epoch: Index of the epoch, from 0.
            step: Index of the step, from 0, below `len(self)`.
            part: Index of the part, from 0. One after the other the parts are the
                batch; their sizes differ by 1 at most.
            of: Number of parts.

        Returns:
            Images float32 `(batch, S, S, 3)` in [0, 1] and labels uint8
            `(batch, S, S)`.

        Raises:
            IndexError: If `step` is not in `[0, len(self))`.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"Step {step} of an epoch of {len(self)} batches")
        order = np.arange(len(self.store.labels))
        if self.training:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
        first, end = (len(chosen) * number // of for number in (part, part + 1))
        examples = [self._example(epoch, int(index)) for index in chosen[first:end]]
        images = np.stack([image for image, _ in examples])
        labels = np.stack([label for _, label in examples])
        if images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        return images, labels

    def _example(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = self.store.images[index].astype(np.float32)
        label = np.array(self.store.labels[index])
        if not self.training:
            return image, label
        generator = np.random.default_rng([self.seed, epoch, index])
        return self.augment(image, label, generator)
