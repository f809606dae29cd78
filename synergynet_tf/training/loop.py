"""Custom training loop for replicas."""

import functools

import keras

from synergynet_tf.training import distribution, replicas


def trainer(model):
    """Returns functions that train and validate a model: Keras' or the loop's."""
    if distribution.has_replicas():
        loop = ReplicaLoop(model)
        return loop.fit, loop.evaluate
    return (
        functools.partial(model.fit, shuffle=False, verbose=0),
        functools.partial(model.evaluate, return_dict=True, verbose=0),
    )


class ReplicaLoop:
    """Trains and validates as Keras does, which fails on several machines.

    Steps and metrics are Keras' own. It is for the scope that the model was compiled
    in; callbacks get no logs of a batch.

    Args:
        model: Compiled `keras.Model` whose optimizer is built.
    """

    def __init__(self, model):
        self.model = model
        self.train_step = replicas.replicated(model.train_step)
        self.test_step = replicas.replicated(model.test_step)

    def fit(
        self, data, initial_epoch, epochs, steps_per_epoch, validation_data, callbacks
    ):
        """Trains the epochs from `initial_epoch` to before `epochs`.

        Args:
            data: Iterable of the batches of these epochs, of `replicas.divided`.
            initial_epoch: int. From 0.
            epochs: int.
            steps_per_epoch: int. Batches an epoch.
            validation_data: Iterable of the batches to validate with, of the same kind.
            callbacks: list of `keras.callbacks.Callback`.
        """
        model = self.model
        callbacks = keras.callbacks.CallbackList(
            callbacks, model=model, epochs=epochs, steps=steps_per_epoch
        )
        model.stop_training = False
        callbacks.on_train_begin()
        batches = iter(data)
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            for step in range(steps_per_epoch):
                callbacks.on_train_batch_begin(step)
                self.train_step(next(batches))
                callbacks.on_train_batch_end(step)
            logs = self._results()
            scores = self.evaluate(validation_data, callbacks)
            logs |= {f"val_{name}": value for name, value in scores.items()}
            callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        callbacks.on_train_end(logs)

    def evaluate(self, data, callbacks):
        """Returns the metrics on some batches: dict of floats.

        Args:
            data: Iterable of batches, of `replicas.divided`.
            callbacks: `keras.callbacks.CallbackList`.
        """
        self.model.reset_metrics()
        callbacks.on_test_begin()
        for step, batch in enumerate(data):
            callbacks.on_test_batch_begin(step)
            self.test_step(batch)
            callbacks.on_test_batch_end(step)
        scores = self._results()
        callbacks.on_test_end(scores)
        return scores

    def _results(self):
        """Reads the metrics, over all replicas."""
        results = self.model.get_metrics_result()
        return {name: float(value) for name, value in results.items()}
