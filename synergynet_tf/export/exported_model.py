"""Exported models: find one with its model card, load it, predict."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf import zoo
from synergynet_tf.export.card import CARD_FILE, Card, read_card
from synergynet_tf.parallel import usable_cores
from synergynet_tf.safe_io import is_of_the_file, read_content

TFLITE, ONNX = ".tflite", ".onnx"
# Formats of exports that are one file with a card beside it -> their names.
KINDS = {TFLITE: "TFLite", ONNX: "ONNX"}
# Inputs and outputs of a model, by their names.
IMAGE, LOGITS, CODES = "image", "logits", "codes"


class Answers(NamedTuple):
    """The outputs of a model.

    Attributes:
        logits: float32 `(n, S, S, C)`.
        codes: int32 `(n, height, width)`: the code at each position of the
            bottleneck; `None` for a method without a codebook.
    """

    logits: np.ndarray
    codes: np.ndarray | None

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Answers:
        """Converts TensorFlow's tensors, by their names."""
        codes = outputs.get(CODES)
        return cls(outputs[LOGITS].numpy(), None if codes is None else codes.numpy())


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported model that was found, and its model card.

    Attributes:
        path: The `.tflite` or `.onnx` file, or the SavedModel's own folder.
        card: Model card of the model.
    """

    path: pathlib.Path
    card: Card

    @property
    def kind(self) -> str:
        """The name of its format."""
        return "SavedModel" if self.path.is_dir() else KINDS[self.path.suffix]

    @property
    def quantization(self) -> str:
        """The `--quantize` of a `.tflite` file; `none` for the others."""
        return str(self._measured.get("quantization", "none"))

    @property
    def _measured(self) -> Mapping[str, Any]:
        """Section of the card about the file; empty for a SavedModel."""
        return self.card.values.get(section(self.path), {})

    def open(self) -> Opened:
        """Loads the model.

        Raises:
            ImportError: If its runtime is not installed.
            OSError: If it is no file, but a pipe or a device, or cannot be read.
            ValueError: If it is damaged, or the card is another model's.
        """
        if self.path.is_dir():
            model: Opened = SavedModel(self.path)
        else:
            try:
                content = read_content(self.path)
            except ValueError as error:
                raise self._not_of_its_card() from error
            if self._measured.get("sha256") != hashlib.sha256(content).hexdigest():
                raise self._not_of_its_card()
            of_onnx = self.path.suffix == ONNX
            model = (OnnxModel if of_onnx else TFLiteModel)(content, str(self.path))
        config = self.card.config.model
        side = config.image_size
        if model.input_shape != (side, side, 3) or model.output_shape != (
            side,
            side,
            config.num_classes,
        ):
            raise self._not_of_its_card()
        return model

    def _not_of_its_card(self) -> ValueError:
        return ValueError(
            f"{self.path} is damaged, or not the model that its card describes; export "
            "the run again"
        )


def find_exported(path: str | pathlib.Path) -> Exported:
    """Finds a model and reads its card.

    Args:
        path: Path of a `.tflite` or `.onnx` file, of the folder of a SavedModel, or of
            the folder of its versions, of which the highest is taken; or the name of a
            shipped model.

    Raises:
        FileNotFoundError: If there is no such file or folder, or no card.
        ValueError: If it is no exported model, or its card cannot be used.
    """
    path, files = pathlib.Path(path), " or ".join(KINDS)
    if not path.exists():
        shipped = zoo.find(str(path))
        if shipped is None:
            raise FileNotFoundError(
                f"No file or folder {path}; with --model, name a {files} file, the "
                f"folder of a SavedModel, or one of {', '.join(zoo.names())}"
            )
        path = shipped
    if path.is_dir():
        folder = _saved_model(path)
        return Exported(folder, read_card(folder / CARD_FILE))
    if path.suffix not in KINDS:
        raise ValueError(
            f"{path} is no {files} file; name one, or the folder of a SavedModel, "
            "with --model"
        )
    return Exported(path, read_card(card_path(path)))


def card_path(path: pathlib.Path) -> pathlib.Path:
    """Returns the path of a file's card, beside it."""
    return path.with_suffix(".json")


def section(path: pathlib.Path) -> str:
    """Returns the name of the card's section about the file, such as `tflite`."""
    return path.suffix.removeprefix(".")


class TFLiteModel:
    """A `.tflite` file in the stock interpreter; needs no TensorFlow.

    Args:
        content: Bytes of the file.
        name: Name of the file in errors.

    Attributes:
        input_shape: `(S, S, 3)`.
        output_shape: `(S, S, C)`.

    Raises:
        ImportError: If the interpreter is not installed.
        ValueError: If it refuses the file.
    """

    def __init__(self, content: bytes, name: str = f"the {TFLITE} file") -> None:
        require_interpreter()
        from ai_edge_litert.interpreter import Interpreter

        self._named = functools.partial(_named, "The interpreter", name)
        with self._named():
            self._interpreter = Interpreter(
                model_content=content, num_threads=usable_cores()
            )
            self._interpreter.allocate_tensors()
            (image,) = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
            # Codes are (1, height, width).
            (logits,) = (output for output in outputs if len(output["shape"]) == 4)
        codes = [output for output in outputs if len(output["shape"]) == 3]
        self._image, self._logits = image["index"], logits["index"]
        self._codes = codes[0]["index"] if codes else None
        self.input_shape = tuple(map(int, image["shape"][1:]))
        self.output_shape = tuple(map(int, logits["shape"][1:]))

    def answer(self, images: np.ndarray) -> Answers:
        """Runs images `(n, S, S, 3)`, one by one."""
        logits, codes = [], []
        for image in images:
            with self._named():
                self._interpreter.set_tensor(self._image, image[None])
                self._interpreter.invoke()
            logits.append(self._interpreter.get_tensor(self._logits))
            if self._codes is not None:
                codes.append(self._interpreter.get_tensor(self._codes))
        return Answers(np.concatenate(logits), np.concatenate(codes) if codes else None)

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits `(n, S, S, C)` of images `(n, S, S, 3)`."""
        return self.answer(images).logits


class OnnxModel:
    """An `.onnx` file in onnxruntime; needs no TensorFlow.

    Args:
        content: Bytes of the file.
        name: Name of the file in errors.

    Attributes:
        input_shape: `(S, S, 3)`.
        output_shape: `(S, S, C)`.

    Raises:
        ModuleNotFoundError: If onnxruntime is not installed.
        ValueError: If it refuses the file.
    """

    def __init__(self, content: bytes, name: str = f"the {ONNX} file") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        self._named = functools.partial(_named, "onnxruntime", name)
        with self._named():
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            (image,) = self._session.get_inputs()
            outputs = {output.name: output for output in self._session.get_outputs()}
            logits = outputs[LOGITS]
        self._outputs = [name for name in (LOGITS, CODES) if name in outputs]
        self.input_shape = tuple(image.shape[1:])
        self.output_shape = tuple(logits.shape[1:])

    def answer(self, images: np.ndarray) -> Answers:
        """Runs images `(n, S, S, 3)`."""
        images = np.ascontiguousarray(images, np.float32)
        with self._named():
            logits, *codes = self._session.run(self._outputs, {IMAGE: images})
        return Answers(logits, codes[0] if codes else None)

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits `(n, S, S, C)` of images `(n, S, S, 3)`."""
        return self.answer(images).logits


class SavedModel:
    """A SavedModel's `serving_default`, in TensorFlow.

    Args:
        folder: The SavedModel's own folder.

    Attributes:
        input_shape: `(S, S, 3)`.
        output_shape: `(S, S, C)`.

    Raises:
        ValueError: If it cannot be loaded.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(str(folder))
            self._serve = self._loaded.signatures["serving_default"]
            image = self._serve.structured_input_signature[1]["image"]
            logits = self._serve.structured_outputs["logits"]
        except Exception as error:
            if not is_of_the_file(error):
                raise
            raise ValueError(
                f"{folder} cannot be loaded: {error}; export the run again"
            ) from error
        self.input_shape = tuple(image.shape[1:])
        self.output_shape = tuple(logits.shape[1:])

    def answer(self, images: np.ndarray) -> Answers:
        """Runs images `(n, S, S, 3)`."""
        import tensorflow as tf

        images = np.ascontiguousarray(images, np.float32)
        return Answers.of(self._serve(image=tf.constant(images)))

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits `(n, S, S, C)` of images `(n, S, S, 3)`."""
        return self.answer(images).logits


Opened = TFLiteModel | OnnxModel | SavedModel


@contextlib.contextmanager
def _named(runtime: str, name: str) -> Iterator[None]:
    """Adds the file's name to errors that its content makes the runtime raise."""
    try:
        yield
    except Exception as error:
        if not is_of_the_file(error):
            raise
        raise ValueError(f"{runtime} refuses {name}: {error}") from error


def require_interpreter() -> None:
    """Requires the package that runs `.tflite` files.

    Raises:
        ImportError: If it is missing.
    """
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{TFLITE} files need the package ai-edge-litert ({error}); install "
            "requirements.txt"
        ) from error


def _saved_model(folder: pathlib.Path) -> pathlib.Path:
    """Returns the SavedModel that a folder is, or the highest version in it."""

    def is_one(path: pathlib.Path) -> bool:
        return (path / "saved_model.pb").is_file()

    if is_one(folder):
        return folder
    versions = [p for p in folder.iterdir() if p.name.isdecimal() and is_one(p)]
    if not versions:
        hides = f", or rename {folder}: it hides the shipped model of that name"
        raise ValueError(
            f"{folder} is no SavedModel, nor a folder of its versions; name one with "
            f"--model{hides if zoo.find(str(folder)) else ''}"
        )
    return max(versions, key=lambda path: int(path.name))
