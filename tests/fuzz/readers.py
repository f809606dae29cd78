"""Every reader of files, with a small valid folder in which a file is mutated."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import h5py
import numpy as np
import scipy.io

from synergynet_tf import metrics, runs, zoo
from synergynet_tf.config import DataConfig, ExperimentConfig, ModelConfig
from synergynet_tf.data import DATASETS
from tests.data import trees
from tests.evaluation.scored_runs import make_report
from tests.fuzz import sandbox
from tests.models.torch_files import write_legacy, write_zip

SIZE = 32
HIPPOCAMPUS = "msd/Task04_Hippocampus"
SMALL = ModelConfig("r50-unet", "efficientnetlite0", SIZE, encoder_weights="none")
VIT = dataclasses.replace(SMALL, name="transunet", vit_layers=1, vit_dim=64)
ISIC = "ISIC-2017_Training_Data/ISIC_0000000"
ISIC_MASK = "ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png"
PHOTO = trees.photograph(12, 16)
SCAN, LABELS = trees.volume((8, 6, 3)), trees.box_labels((8, 6, 3), 2)
TENSORS = {
    f"layer.{i}": np.random.default_rng(i).normal(size=(3, i + 2)).astype("float32")
    for i in range(6)
}


class Reader(NamedTuple):
    """A reader of a folder.

    Attributes:
        kind: Format of the mutated file, a key of `strategies.FORMATS`; or `""`.
        file: Path of that file in the folder; `*` stands for a name.
        write: Writes the valid folder, given where the real data is if `real`.
        read: Reads the folder as a command would, and returns what it took.
        slow: Whether a file takes it seconds, as what builds a model; it is given
            fewer of them.
        real: Whether the valid folder is a case of real data.
    """

    kind: str
    file: str
    write: Callable[..., Any]
    read: Callable[[pathlib.Path], Any]
    slow: bool = False
    real: bool = False


def find(folder, name):
    """Returns the file of a reader that is mutated."""
    (path,) = folder.glob(READERS[name].file)
    return path


def examine(folder, name, path):
    """Reads a folder in which `path` was mutated; returns a `sandbox.Verdict`."""
    # What is not there any more may be told by its folder.
    names = [file.name for file in folder.rglob("*") if file.is_file()]
    names += [path.name, path.name.partition(".")[0]]
    if not path.is_file():
        names.append(folder.name)
    return sandbox.attempt(functools.partial(READERS[name].read, folder), names)


def read_dataset(name):
    """Returns what lists a dataset and reads all of its cases."""
    dataset = DATASETS[name]

    def read(root):
        cases = [dataset.read_case(root, case_id) for case_id in dataset.case_ids(root)]
        patients = dataset.patients(root)
        return dataset.class_names(root), dataset.modality(root), patients, cases

    return read


def copy_real(root, data, place, names):
    """Copies files of a real dataset, as they lie below `place`."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / place / name, root / name)


def copy_hippocampus(root, data, case):
    """One case of the task; its dataset.json lists no other."""
    names = [f"{folder}/{case}.nii.gz" for folder in ("imagesTr", "labelsTr")]
    copy_real(root, data, HIPPOCAMPUS, ["dataset.json", *names])
    path = root / "dataset.json"
    described = json.loads(path.read_text())
    described["training"] = [
        entry for entry in described["training"] if case in entry["image"]
    ]
    path.write_text(json.dumps(described | {"numTraining": 1}))


def write_isic(root, suffix, flags):
    trees.write_isic(root, "2017", train=1, val=0, test=0)
    path = root / f"{ISIC}.jpg"
    path.unlink()
    encoded = cv2.imencode(suffix, PHOTO, list(flags))[1]
    path.with_suffix(suffix).write_bytes(encoded.tobytes())


def write_folder(root):
    """A 16-bit PNG file and a TIFF file, with their masks and classes.json."""
    trees.write_folder(root, count=2)
    trees.write_png(root / "images/case00.png", PHOTO[..., 0].astype(np.uint16) * 257)
    (root / "images/case01.png").unlink()
    cv2.imwrite(str(root / "images/case01.tif"), PHOTO)
    (root / "classes.json").write_text('{"lesion": 255, "other": 3}')


def write_msd(root):
    """A Decathlon task of one scan, not compressed."""
    training = [{"image": "./imagesTr/scan.nii"}]
    trees.write_dataset_json(root, file_ending=".nii", training=training)
    trees.write_nifti(root / "imagesTr/scan.nii", SCAN)
    trees.write_nifti(root / "labelsTr/scan.nii", LABELS)


def write_folds(root, version):
    trees.write_bts(root, patients=10, slices=1)
    path, numbers = root / "cvind.mat", np.arange(10.0)[None] % 5 + 1
    if version == "5":
        scipy.io.savemat(path, {"cvind": numbers})
    else:
        with h5py.File(path, "w") as file:
            file["cvind"] = numbers


def read_folds(root):
    return DATASETS["bts"].splits(root, "paper", 0)


def write_scan(root):
    for channel in range(2):
        trees.write_nifti(root / f"scan_{channel:04d}.nii.gz", SCAN)


def write_itk(root, name):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(SCAN.T))
    image.SetSpacing((0.7, 1.1, 2.5))
    SimpleITK.WriteImage(image, str(root / name))


def read_inputs(root):
    """Does what predict.py does before it loads a model."""
    from synergynet_tf.data.preprocess import Preprocessor
    from synergynet_tf.evaluation.inputs import find_inputs, read_input

    paths = find_inputs(root, root / "output", Preprocessor("mri", 16))
    return [read_input(path)[:2] for path in paths]


def read_store(root):
    """Opens a prepared store; one that is damaged is built again."""
    from synergynet_tf.data.store import open_store

    os.environ["SYNERGYNET_CACHE"] = str(root)
    store = open_store(DataConfig("phantom", limit=1), "train", SIZE)
    images, labels = np.array(store.images), np.array(store.labels)
    if images.shape != (4, SIZE, SIZE, 1) or images.min() < 0 or images.max() > 1:
        raise TypeError(f"images {images.shape} in {images.min()} to {images.max()}")
    return images, labels, store.case_ids


def write_run(run):
    """A finished and scored run, without weights."""
    config = ExperimentConfig().replace(dataset="acdc", num_classes=4)
    config = config.replace(modality="mri", split="paper")
    texts = {
        "config.json": config.to_json(),
        "classes.json": '["rv", "myo", "lv"]',
        "channels.json": "1",
        "history.csv": "epoch,loss,dsc,val_loss,val_dsc\n1,0.5,0.5,0.5,0.5\n"
        "2,0.4,0.6,0.4,0.6\n",
        "best.weights.h5": "",
        "split.json": '{"train": ["a", "b"], "val": ["c"], "test": ["d"]}',
        "environment.json": '{"commit": "abc", "python": "3.11"}',
    }
    for name, text in texts.items():
        (run / name).write_text(text)
    report = make_report([0.4, 0.6])
    report |= {"model": "r50-unet", "protocol": "strict", "distance_unit": "mm"}
    report |= {"fold": "", "bootstrap": {"resamples": 2000, "seed": 0, "level": 0.95}}
    intervals = {metric: [0.4, 0.6] for metric in metrics.METRICS}
    for protocol in ("strict", "transunet"):
        report[protocol]["mean_interval"] = intervals
        names = report[protocol]["per_class"]
        report[protocol]["per_class_interval"] = dict.fromkeys(names, intervals)
    runs.write_json(run / "metrics.json", report)
    os.utime(run / "best.weights.h5", (1, 1))


def read_run(run):
    """Reads what evaluate.py and predict.py read of a run before its weights."""
    from synergynet_tf.evaluation.figures.curves import write_curves

    run = runs.Run(run)
    found = dataclasses.asdict(run.config), run.class_names
    found += run.image_channels, run.history
    write_curves(run)  # It is what takes long.
    return found


def read_comparison(run):
    from synergynet_tf.evaluation.tables.paired_runs import (
        compare_runs,
        format_comparison,
    )

    comparison = compare_runs(runs.Run(run), runs.Run(run))
    format_comparison(comparison)
    return comparison


def write_label_maps(root):
    """References and predictions: a volume in `a/`, an image in `b/`."""
    for folder in ("reference", "prediction"):
        trees.write_nifti(root / f"a/{folder}/scan.nii.gz", LABELS)
        trees.write_png(root / f"b/{folder}/case.png", trees.square_mask(9, 8))
    (root / "a/classes.json").write_text('{"front": 1, "back": 2}')
    (root / "a/patients.csv").write_text("case,patient\nscan,anna\n")


def read_label_maps(root, of="a"):
    """Runs `compare` in this process; the page is a part of it."""
    from synergynet_tf.cli import compare

    root /= of
    flags = [f"--predictions=ours={root / 'prediction'}", "--workers=0"]
    if of == "a":
        flags += [f"--patients={root / 'patients.csv'}", "--lesions=any"]
    compare.main([f"--reference={root / 'reference'}", *flags, f"--out={root / 'out'}"])
    return json.loads((root / "out/comparison.json").read_text())


def read_table(run):
    """Sets a run's scores beside the paper's."""
    from synergynet_tf.evaluation.tables import paper_table, rows
    from synergynet_tf.experiments import BUDGETS, TABLES

    table, budget = TABLES[2], BUDGETS["short"]
    row = next(iter(table.rows))
    found = rows.RowRun(row, runs.Run(run))
    report, reason = rows.usable_scores(found)
    if report is None:
        raise ValueError(f"metrics.json: {reason}")  # It is scored again.
    paper_table.make_table(table, "acdc", budget, [found], {row: [report]}, row)
    return report


def read_for_card(run):
    from synergynet_tf.export.card import make_card

    return make_card(runs.Run(run))


def write_card(folder):
    write_run(folder)
    runs.write_json(folder / "exported/model_card.json", read_for_card(folder))
    (folder / "exported/saved_model.pb").write_bytes(b"")


def read_card(folder):
    from synergynet_tf.export.exported_model import find_exported

    found = find_exported(folder / "exported")
    return found.card.class_names, found.card.image_channels, found.quantization


def write_onnx(folder):
    """A linear layer as ONNX, and a card that describes it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    write_run(folder)
    card = read_for_card(folder)
    side = card["config"]["model"]["image_size"]
    shapes = {"image": (1, side, side, 3), "logits": (1, side, side, 4)}
    image, logits = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    kernel = numpy_helper.from_array(np.ones((3, 4), np.float32), "kernel")
    node = helper.make_node("MatMul", ["image", "kernel"], ["logits"])
    graph = helper.make_graph([node], "graph", [image], [logits], [kernel])
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, folder / "model.onnx")
    content = (folder / "model.onnx").read_bytes()
    card["onnx"] = {"sha256": hashlib.sha256(content).hexdigest()}
    runs.write_json(folder / "model.json", card)


def write_shipped(folder):
    """A shipped model; its reader has the folder as that of all shipped models."""
    for ending in (".json", ".tflite"):
        shutil.copy(zoo.FOLDER / f"isic-lite0{ending}", folder)


def read_exported(folder, name):
    """Does what predict.py does before it runs a model."""
    from synergynet_tf.export.exported_model import find_exported

    model = find_exported(folder / name).open()
    return model.input_shape, model.output_shape


def read_shipped(folder):
    """Lists the shipped models, by their cards alone."""
    from synergynet_tf.cli import models

    zoo.FOLDER = folder
    return models.format_zoo()


def read_torch(folder):
    from synergynet_tf.models.torch_file import read_tensors

    (path,) = folder.iterdir()
    try:
        return read_tensors(path)
    except ValueError as error:  # As `convert`, which names the file.
        raise ValueError(f"{path}: {error}") from error


def write_model(folder):
    from synergynet_tf.models import build_model
    from synergynet_tf.models.weights import save_weights

    save_weights(build_model(SMALL), folder / "best.weights.h5")


def read_model(folder):
    from synergynet_tf.models.weights import load_weights

    return load_weights(SMALL, folder / "best.weights.h5").get_weights()


def write_encoder(folder):
    import keras

    from synergynet_tf.models.efficientnet import efficientnetlite0

    image = keras.Input((SIZE, SIZE, 3))
    network = keras.Model(image, efficientnetlite0(image, "none"))
    network.save_weights(folder / "lite0.weights.h5")


def read_encoder(folder):
    import keras

    from synergynet_tf.models.encoders import encode

    image, path = keras.Input((SIZE, SIZE, 3)), folder / "lite0.weights.h5"
    features = encode(image, "efficientnetlite0", str(path))
    return keras.Model(image, features).get_weights()


@functools.cache
def transformer():
    from synergynet_tf.models import build_model

    return build_model(VIT)


def write_vit(folder):
    from synergynet_tf.models import vit_weights

    arrays = {k: np.array(v) for k, v in vit_weights._variables(transformer()).items()}
    positions = next(iter(arrays))  # The file has them as tokens, one for the class.
    arrays[positions] = np.zeros((1, 5, 64), np.float32)
    np.savez(folder / "vit.npz", allow_pickle=False, **arrays)


def read_vit(folder):
    from synergynet_tf.models.vit_weights import load_vit_weights

    load_vit_weights(transformer(), str(folder / "vit.npz"))
    return transformer().get_weights()


@functools.cache
def trained():
    import keras

    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(3, name="dense")(image))
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def write_checkpoint(folder):
    from synergynet_tf.training import checkpoint

    checkpoint.save(trained(), folder, 1, [{"epoch": 1, "loss": 0.5}])


def read_checkpoint(folder):
    from synergynet_tf.training import checkpoint

    return checkpoint.restore(trained(), folder), trained().get_weights()


def _readers():
    def isic(kind, suffix, *flags):
        write = functools.partial(write_isic, flags=flags, suffix=suffix)
        return Reader(kind, ISIC + suffix, write, read_dataset("isic"))

    def dataset(name, kind, file, write):
        return Reader(kind, file, write, read_dataset(name))

    acdc = functools.partial(trees.write_acdc, patients=[1])
    msd = functools.partial(trees.write_msd, cases=1)
    bts = functools.partial(trees.write_bts, patients=2, slices=1)
    synapse = functools.partial(trees.write_synapse, train=[5], test=[8])
    frame = "training/patient001/patient001_frame01"

    def itk(file):
        write = functools.partial(write_itk, name=file)
        return Reader("itk", file, write, read_inputs)

    def label_maps(kind, file, of="a"):
        read = functools.partial(read_label_maps, of=of)
        return Reader(kind, f"{of}/{file}", write_label_maps, read)

    def exported(kind, file, write, name):
        read = functools.partial(read_exported, name=name)
        return Reader(kind, file, write, read)

    def real(name, kind, file, copy):
        return Reader(kind, file, copy, read_dataset(name), real=True)

    def copy(place, names):
        return functools.partial(copy_real, place=place, names=names)

    heart = "training/patient090/patient090_frame11"
    hearts = [f"{heart}.nii.gz", f"{heart}_gt.nii.gz"]
    mole = "ISIC-2017_Training_{}/ISIC_0000317{}"
    moles = [
        mole.format("Data", ".jpg"),
        mole.format("Part1_GroundTruth", "_segmentation.png"),
    ]
    brains = ["images/760.png", "masks/760.png"]
    case = "hippocampus_165"
    hippocampus = functools.partial(copy_hippocampus, case=case)
    return {
        "isic .jpg": isic("", ".jpg"),
        "isic progressive .jpeg": isic("", ".jpeg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "isic .png": isic("png", ".png"),
        "isic .bmp": isic("", ".bmp"),
        "isic mask .png": isic("png", ".jpg")._replace(file=ISIC_MASK),
        "folder 16-bit .png": dataset(
            "folder", "png", "images/case00.png", write_folder
        ),
        "folder .tif": dataset("folder", "", "images/case01.tif", write_folder),
        "folder mask .png": dataset("folder", "png", "masks/case00.png", write_folder),
        "folder classes.json": dataset("folder", "json", "classes.json", write_folder),
        "acdc .nii.gz": dataset("acdc", "nifti", f"{frame}.nii.gz", acdc),
        "acdc labels .nii.gz": dataset("acdc", "nifti", f"{frame}_gt.nii.gz", acdc),
        "msd .nii": dataset("msd", "nifti", "imagesTr/scan.nii", write_msd),
        "msd .nii.gz": dataset("msd", "nifti", "labelsTr/scan_00.nii.gz", msd),
        "msd dataset.json": dataset("msd", "json", "dataset.json", write_msd),
        "bts .mat 7.3": dataset("bts", "hdf5", "1.mat", bts),
        "bts cvind.mat 7.3": Reader(
            "hdf5",
            "cvind.mat",
            functools.partial(write_folds, version="7.3"),
            read_folds,
        ),
        "bts cvind.mat 5": Reader(
            "mat", "cvind.mat", functools.partial(write_folds, version="5"), read_folds
        ),
        "synapse .npz": dataset(
            "synapse", "npz", "train_npz/case0005_slice000.npz", synapse
        ),
        "synapse .h5": dataset("synapse", "hdf5", "test_vol_h5/*.h5", synapse),
        "scan to label .nii.gz": Reader(
            "nifti", "scan_0000.nii.gz", write_scan, read_inputs
        ),
        "scan to label .nrrd": itk("scan.nrrd"),
        "scan to label .mha": itk("scan.mha"),
        "compare reference .nii.gz": label_maps("nifti", "reference/scan.nii.gz"),
        "compare prediction .nii.gz": label_maps("nifti", "prediction/scan.nii.gz"),
        "compare prediction .png": label_maps("png", "prediction/case.png", "b"),
        "compare classes.json": label_maps("json", "classes.json"),
        "compare patients.csv": label_maps("csv", "patients.csv"),
        "store index.json": Reader("json", "*/index.json", read_store, read_store),
        "store images.bin": Reader("", "*/images.bin", read_store, read_store),
        "store labels.bin": Reader("", "*/labels.bin", read_store, read_store),
        "run config.json": Reader("json", "config.json", write_run, read_run),
        "run classes.json": Reader("json", "classes.json", write_run, read_run),
        "run channels.json": Reader("json", "channels.json", write_run, read_run),
        "run history.csv": Reader("csv", "history.csv", write_run, read_run),
        "metrics.json, --compare": Reader(
            "json", "metrics.json", write_run, read_comparison
        ),
        "metrics.json, --table": Reader("json", "metrics.json", write_run, read_table),
        "metrics.json, export": Reader(
            "json", "metrics.json", write_run, read_for_card
        ),
        "split.json, export": Reader("json", "split.json", write_run, read_for_card),
        "environment.json, export": Reader(
            "json", "environment.json", write_run, read_for_card
        ),
        "model_card.json": Reader(
            "json", "exported/model_card.json", write_card, read_card
        ),
        "shipped card .json": Reader(
            "json", "isic-lite0.json", write_shipped, read_shipped
        ),
        "model .tflite": exported(
            "", "isic-lite0.tflite", write_shipped, "isic-lite0.tflite"
        ),
        "model .onnx": exported("", "model.onnx", write_onnx, "model.onnx"),
        "model .onnx card": exported("json", "model.json", write_onnx, "model.onnx"),
        "torch .pth": Reader(
            "torch", "net.pth", lambda f: write_zip(f / "net.pth", TENSORS), read_torch
        ),
        "torch .pth until 1.5": Reader(
            "", "net.pth", lambda f: write_legacy(f / "net.pth", TENSORS), read_torch
        ),
        "best.weights.h5": Reader(
            "hdf5", "best.weights.h5", write_model, read_model, slow=True
        ),
        "encoder .weights.h5": Reader(
            "hdf5", "lite0.weights.h5", write_encoder, read_encoder, slow=True
        ),
        "transformer .npz": Reader("npz", "vit.npz", write_vit, read_vit, slow=True),
        "checkpoint .npz": Reader(
            "npz", "*.npz", write_checkpoint, read_checkpoint, slow=True
        ),
        "real acdc .nii.gz": real("acdc", "nifti", hearts[0], copy("acdc", hearts)),
        "real acdc labels .nii.gz": real(
            "acdc", "nifti", hearts[1], copy("acdc", hearts)
        ),
        "real isic .jpg": real("isic", "", moles[0], copy("isic2017", moles)),
        "real isic mask .png": real("isic", "png", moles[1], copy("isic2017", moles)),
        "real msd .nii.gz": real(
            "msd", "nifti", f"imagesTr/{case}.nii.gz", hippocampus
        ),
        "real msd labels .nii.gz": real(
            "msd", "nifti", f"labelsTr/{case}.nii.gz", hippocampus
        ),
        "real msd dataset.json": real("msd", "json", "dataset.json", hippocampus),
        "real bts .mat 7.3": real("bts", "hdf5", "1.mat", copy("bts_mat", ["1.mat"])),
        "real bts .png": real("bts", "png", brains[0], copy("bts", brains)),
        "real bts mask .png": real("bts", "png", brains[1], copy("bts", brains)),
    }


READERS = _readers()
