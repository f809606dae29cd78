"""The paper's attention on normalized tokens, independently, in NumPy and float64."""

import keras
import numpy as np


def away_from_the_start(layer):
    """Moves every weight of a built layer, so that none is 0, 1 or another's copy."""
    draw = np.random.default_rng(1).normal
    for weight in layer.weights:
        weight.assign(weight + 0.2 * draw(size=weight.shape).astype("float32"))


def positions(height, width, channels):
    """The sine-cosine embedding, channel by channel."""
    count = int(np.ceil(channels / 4))
    columns = []
    for axis in range(2):
        for function in (np.sin, np.cos):
            for i in range(count):
                place = np.array(
                    [
                        (row, column)[axis]
                        for row in range(height)
                        for column in range(width)
                    ]
                )
                columns.append(np.sqrt(2) * function(place / 10000 ** (i / count)))
    return np.stack(columns[:channels], axis=-1)


def normalized_tokens(features):
    """Subtracts the mean token, divides by the root of the mean square."""
    batch, height, width, channels = features.shape
    tokens = features.reshape(batch, height * width, channels).astype("float64")
    tokens = tokens - tokens.mean(axis=1, keepdims=True)
    squares = (tokens**2).mean(axis=(1, 2), keepdims=True)
    return tokens / np.sqrt(squares + 1e-3)


def normalized_scores(layer, asking, asked):
    """Returns the scores `(batch, heads, n, n)` and the values of each head."""
    (wq, bq), (wk, bk), (wv, bv) = (
        [keras.ops.convert_to_numpy(w).astype("float64") for w in part.weights]
        for part in (layer.query, layer.key, layer.value)
    )
    place = positions(*asking.shape[1:])
    x, y = normalized_tokens(asking), normalized_tokens(asked)
    temperature = np.exp(keras.ops.convert_to_numpy(layer.log_temperature))
    scores, values = [], []
    for head in range(wq.shape[1]):
        q = (x + place) @ wq[:, head] + bq[head]
        k = (y + place) @ wk[:, head] + bk[head]
        q /= np.linalg.norm(q, axis=-1, keepdims=True)
        k /= np.linalg.norm(k, axis=-1, keepdims=True)
        scores.append(temperature[head] * q @ k.transpose(0, 2, 1))
        values.append(y @ wv[:, head] + bv[head])
    return np.stack(scores, axis=1), np.stack(values, axis=1)


def normalized_output(layer, picked, shape):
    """Joins the heads' `(batch, heads, n, d)`, and normalizes each token."""
    wo, bo = (
        keras.ops.convert_to_numpy(w).astype("float64")
        for w in layer.output_projection.weights
    )
    gamma, beta = map(keras.ops.convert_to_numpy, layer.output_normalization.weights)
    joined = sum(picked[:, head] @ wo[head] for head in range(len(wo))) + bo
    mean = joined.mean(axis=-1, keepdims=True)
    variance = joined.var(axis=-1, keepdims=True)
    return ((joined - mean) / np.sqrt(variance + 1e-3) * gamma + beta).reshape(shape)
