"""Segmentation loss: cross-entropy and soft Dice (paper, eq. 1)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="synergynet_tf")
class SegmentationLoss(keras.losses.Loss):
    """Segmentation loss: cross-entropy plus soft Dice loss.

        L_seg = BCE(y, y^) + (1 - Dice(y, y^))         # paper, section 2.1.1, eq. 1

    With one channel of logits the first term is the binary cross-entropy of the
    sigmoid, with more it is the cross-entropy of the softmax; both are means over
    pixels. For the probability `p` and the 0/1 label `y` of a channel:

        Dice = (2 sum(p y) + smooth) / (sum(p^2) + sum(y^2) + smooth)

    Assumption: sums run over the whole batch, the squares stand in the denominator,
    and Dice is the mean over all channels, background included; so does TransUNet's
    code, and the paper does not say.

    `L_quant` of the paper's total loss, `L_seg + L_quant`, is the quantizer's: the
    layer adds it to the model's losses itself.

    A batch that devices share has one loss, the same on each of them. `replica_sum`
    adds up tensors, in any nested structure, over the devices; `training.replicas`
    sets it. Here it returns what it gets.

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
        y, p, cross_entropy = _compare(y_true, y_pred)
        # One collective for all sums over pixels, whatever the number of devices.
        sums = self.replica_sum(
            {
                "cross_entropy": ops.sum(cross_entropy),
                "pixels": ops.cast(ops.size(cross_entropy), "float32"),
                "overlap": ops.sum(p * y, axis=(0, 1, 2)),
                "size": ops.sum(ops.square(p), axis=(0, 1, 2))
                + ops.sum(y, axis=(0, 1, 2)),
            }
        )
        cross_entropy = sums["cross_entropy"] / sums["pixels"]
        dice = (2.0 * sums["overlap"] + self.smooth) / (sums["size"] + self.smooth)
        loss = self.cross_entropy_weight * cross_entropy
        loss += self.dice_weight * (1.0 - ops.mean(dice))
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


def _compare(labels, logits):
    """Returns the 0/1 labels, the probabilities and the cross-entropy of each pixel.

    The first two are `(batch, height, width, channels)`.
    """
    channels = logits.shape[-1]
    if channels == 1:
        y = ops.cast(ops.expand_dims(labels, axis=-1), "float32")
        cross_entropy = ops.binary_crossentropy(y, logits, from_logits=True)
        return y, ops.sigmoid(logits), cross_entropy
    y = ops.one_hot(ops.cast(labels, "int32"), channels, dtype="float32")
    cross_entropy = -ops.sum(y * ops.log_softmax(logits, axis=-1), axis=-1)
    return y, ops.softmax(logits, axis=-1), cross_entropy
