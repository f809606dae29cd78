"""The segmentation loss: cross-entropy and soft Dice."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="synergynet_tf")
class SegmentationLoss(keras.losses.Loss):
    """`L_seg = BCE(y, y^) + (1 - Dice(y, y^))` (paper, section 2.1.1, eq. 1).

    With one channel of logits the first term is the binary cross-entropy of the
    sigmoid, with more it is the cross-entropy of the softmax; both are means over
    pixels. For the probability `p` and the 0/1 label `y` of a channel:

        Dice = (2 sum(p y) + smooth) / (sum(p^2) + sum(y^2) + smooth)

    Assumption: sums run over the whole batch, the squares stand in the denominator,
    and Dice is the mean over all channels, background included; so does TransUNet's
    code, and the paper does not say.

    A batch that devices share has one loss, the same on each of them: `replica_sum`
    is what adds up over the devices, and whoever shares batches sets it. Here it
    returns what it gets.

    Args:
        cross_entropy_weight: float. 1 is the paper's.
        dice_weight: float. 1 is the paper's.
        smooth: float, above 0. Makes Dice 1 for a class that is neither there nor
            predicted.
        name: string.

    Call arguments:
        y_true: labels `(batch, height, width)`, 0 is background.
        y_pred: logits `(batch, height, width, channels)`.
    """

    def __init__(
        self,
        cross_entropy_weight=1.0,
        dice_weight=1.0,
        smooth=1e-5,
        name="segmentation_loss",
    ):
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        self.cross_entropy_weight = cross_entropy_weight
        self.dice_weight = dice_weight
        self.smooth = smooth
        self.replica_sum = lambda x: x

    def call(self, y_true, y_pred):
        """Returns the loss of the batch: `(1,)`."""
        channels = y_pred.shape[-1]
        if channels == 1:
            y = ops.cast(ops.expand_dims(y_true, axis=-1), "float32")
            cross_entropy = ops.binary_crossentropy(y, y_pred, from_logits=True)
            p = ops.sigmoid(y_pred)
        else:
            labels = ops.cast(y_true, "int32")
            y = ops.one_hot(labels, channels, dtype="float32")
            cross_entropy = -ops.sum(y * ops.log_softmax(y_pred, axis=-1), axis=-1)
            p = ops.softmax(y_pred, axis=-1)
        axes = (0, 1, 2)
        # In one tensor, which is summed over devices at once: per channel the overlap
        # and the size, and the cross-entropy with the number of its values.
        overlap = 2.0 * ops.sum(p * y, axis=axes)
        size = ops.sum(ops.square(p), axis=axes) + ops.sum(y, axis=axes)
        values = ops.cast(ops.size(cross_entropy), "float32")
        pair = ops.stack([ops.sum(cross_entropy), values])
        sums = self.replica_sum(ops.concatenate([overlap, size, pair]))
        overlap, size = sums[:channels], sums[channels:-2]
        dice = ops.mean((overlap + self.smooth) / (size + self.smooth))
        loss = self.cross_entropy_weight * sums[-2] / sums[-1]
        loss += self.dice_weight * (1.0 - dice)
        # Keras divides by the number of replicas, except what is a scalar already.
        return ops.reshape(loss, (1,))

    def get_config(self):
        """Returns the arguments of the constructor."""
        return {
            "name": self.name,
            "cross_entropy_weight": self.cross_entropy_weight,
            "dice_weight": self.dice_weight,
            "smooth": self.smooth,
        }
