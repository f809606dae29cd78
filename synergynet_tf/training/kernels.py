"""TensorFlow kernels for normalization, depthwise convolution and optimizer steps."""

from synergynet_tf.training import distribution


def fused_normalization(x, scale, offset, statistics, epsilon):
    """Normalizes each channel, on the TensorFlow backend.

    Args:
        x: `(batch, height, width, channels)`, float32 or 16 bits.
        scale: float32 `(channels,)`, or `None` for ones.
        offset: float32 `(channels,)`, or `None` for zeros.
        statistics: Mean and variance to use, float32 `(channels,)` both; `None` for
            those of `x`.
        epsilon: float. Added to the variance.

    Returns:
        The normalized `x`, and the mean and variance that were used, float32
        `(channels,)`; the variance is the biased one.
    """
    tf = distribution.tensorflow()

    channels = x.shape[-1]
    mean, variance = statistics or ([], [])
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=tf.ones(channels) if scale is None else tf.convert_to_tensor(scale),
        offset=tf.zeros(channels) if offset is None else tf.convert_to_tensor(offset),
        mean=tf.convert_to_tensor(mean, "float32"),
        variance=tf.convert_to_tensor(variance, "float32"),
        epsilon=epsilon,
        is_training=statistics is None,
    )
    if statistics is None:
        # The kernel returns the unbiased one, which torch keeps and Keras does not.
        values = tf.cast(tf.size(x) / channels, "float32")
        variance *= (values - 1.0) / values
    return y, mean, variance


def shared_normalization(x, scale, offset, epsilon, replica_sum):
    """Normalizes each channel by the statistics of a batch that devices share.

    On every device the output is that of `fused_normalization` on the whole batch,
    and so is the gradient, up to rounding. Deviations are taken from the mean, not
    as `E[x^2] - mean^2`, which loses the digits of small variances.

    Args:
        x: This device's part of the batch, `(batch, height, width, channels)`,
            float32 or 16 bits.
        scale: float32 `(channels,)`, or `None` for ones.
        offset: float32 `(channels,)`, or `None` for zeros.
        epsilon: float. Added to the variance.
        replica_sum: Function that sums a tensor over the devices.

    Returns:
        As `fused_normalization`; the statistics are the same on every device.
    """
    tf = distribution.tensorflow()

    channels = x.shape[-1]

    @tf.custom_gradient
    def normalize(x, scale, offset):
        values = tf.cast(x, "float32")
        count = replica_sum(tf.cast(tf.size(x) / channels, "float32"))
        mean = replica_sum(tf.reduce_sum(values, (0, 1, 2))) / count
        squares = tf.reduce_sum(tf.square(values - mean), (0, 1, 2))
        variance = replica_sum(squares) / count
        y, *_ = fused_normalization(x, scale, offset, (mean, variance), epsilon)

        def gradient(upstream, *_):
            # The kernel's gradient takes the statistics for constants; the part through
            # them is subtracted.
            from_x, from_scale, from_offset, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=x,
                scale=scale,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros(0),
                epsilon=epsilon,
                is_training=False,
            )
            scales, offsets = tf.unstack(
                replica_sum(tf.stack([from_scale, from_offset]))
            )
            inverse = tf.math.rsqrt(variance + epsilon)
            through = (values - mean) * (inverse * scales) + offsets
            through *= scale * inverse / count
            from_x = tf.cast(tf.cast(from_x, "float32") - through, x.dtype)
            return from_x, from_scale, from_offset

        return (y, mean, variance), gradient

    return normalize(
        x,
        tf.ones(channels) if scale is None else tf.convert_to_tensor(scale),
        tf.zeros(channels) if offset is None else tf.convert_to_tensor(offset),
    )


def depthwise_convolution(x, kernel, strides, padding):
    """Convolves each channel by its own kernels; gradients are computed in float32.

    Args:
        x: `(batch, height, width, channels)`, 16 bits.
        kernel: `(height, width, channels, multiplier)`, of the same dtype.
        strides: Two ints.
        padding: `same` or `valid`.
    """
    tf = distribution.tensorflow()

    @tf.custom_gradient
    def convolve(x, kernel):
        how = {"strides": (1, *strides, 1), "padding": padding.upper()}

        def gradient(upstream):
            wide = tf.cast(upstream, "float32")
            from_x = tf.nn.depthwise_conv2d_backprop_input(
                tf.shape(x), tf.cast(kernel, "float32"), wide, **how
            )
            from_kernel = tf.nn.depthwise_conv2d_backprop_filter(
                tf.cast(x, "float32"), kernel.shape, wide, **how
            )
            return tf.cast(from_x, x.dtype), tf.cast(from_kernel, kernel.dtype)

        return tf.nn.depthwise_conv2d(x, kernel, **how), gradient

    return convolve(x, tf.convert_to_tensor(kernel))


def momentum_step(variable, velocity, gradient, learning_rate, momentum):
    """Moves a weight as `keras.optimizers.SGD` does, in one pass, on TensorFlow.

        velocity = momentum * velocity - learning_rate * gradient
        variable = variable + velocity

    Args:
        variable: float32 `tf.Variable`.
        velocity: `keras.Variable` of its shape.
        gradient: Tensor of its shape.
        learning_rate: Scalar.
        momentum: float.
    """
    tf = distribution.tensorflow()

    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=velocity.value.handle,
        lr=tf.cast(learning_rate, variable.dtype),
        grad=gradient,
        momentum=momentum,
    )


def adam_step(variable, moments, gradient, learning_rate, powers, constants):
    """Moves a weight as `keras.optimizers.Adam` does, in one pass, on TensorFlow.

    Args:
        variable: float32 `tf.Variable`.
        moments: The first and the second, `keras.Variable` of its shape; are changed.
        gradient: Tensor of its shape.
        learning_rate: Scalar.
        powers: Scalars `beta_1^t` and `beta_2^t`, with `t` from 1.
        constants: floats `beta_1`, `beta_2` and `epsilon`.
    """
    tf = distribution.tensorflow()

    (m, v), (beta_1, beta_2, epsilon) = moments, constants
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.value.handle,
        v=v.value.handle,
        beta1_power=powers[0],
        beta2_power=powers[1],
        lr=learning_rate,
        beta1=beta_1,
        beta2=beta_2,
        epsilon=epsilon,
        grad=gradient,
    )


def approach(average, variable, share):
    """Moves an average towards a weight by a share of their distance, on TensorFlow.

    Args:
        average: `keras.Variable`; is changed.
        variable: float32 `tf.Variable` of its shape.
        share: Scalar.
    """
    tf = distribution.tensorflow()

    average = average.value
    distance = average - variable
    tf.raw_ops.ResourceApplyGradientDescent(
        var=average.handle, alpha=share, delta=distance
    )


def sum_of_squares(x):
    """Returns the sum of the squares of a tensor, in one pass, on TensorFlow."""
    tf = distribution.tensorflow()

    return 2.0 * tf.nn.l2_loss(x)
