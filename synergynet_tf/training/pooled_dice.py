"""Pooled Dice: the validation score that picks the best epoch."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="synergynet_tf")
class PooledDice(keras.metrics.Metric):
    """Dice of each foreground class over every pixel seen, then their mean.

        Dice = 2 |T and P| / (|T| + |P|)

    It is taken at the network's size, so it ranks epochs; `evaluate.py` scores on
    the images' own grids. A class that is neither there nor predicted counts as 1.

    Args:
        num_classes: int. Channels of the logits; 1 is a sigmoid.
        name: string.
        dtype: Ignored by the counts, which are float32.
    """

    def __init__(self, num_classes, name="dsc", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = num_classes
        shape = (max(num_classes - 1, 1),)
        self.overlap, self.true, self.pred = (
            self.add_variable(shape, "zeros", dtype="float32", name=part)
            for part in ("overlap", "true", "pred")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts the pixels of labels `(B, H, W)` and logits `(B, H, W, C)`."""
        if self.num_classes == 1:
            pred = ops.cast(y_pred > 0, "int32")[..., 0]
        else:
            pred = ops.argmax(y_pred, axis=-1)
        classes = ops.arange(1, max(self.num_classes, 2))
        true = ops.expand_dims(ops.cast(y_true, "int32"), -1) == classes
        pred = ops.expand_dims(ops.cast(pred, "int32"), -1) == classes
        for count, mask in (
            (self.overlap, ops.logical_and(true, pred)),
            (self.true, true),
            (self.pred, pred),
        ):
            # Shares of a batch: whole pixel counts outgrow float32 within an epoch.
            share = ops.mean(ops.cast(mask, "float32"), axis=(0, 1, 2))
            batch = ops.cast(ops.shape(y_true)[0], "float32")
            count.assign_add(share * batch)

    def result(self):
        """Returns the mean Dice over the foreground classes, in [0, 1]."""
        size = self.true + self.pred
        dice = ops.where(size > 0, 2.0 * self.overlap / ops.maximum(size, 1e-9), 1.0)
        return ops.mean(dice)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
