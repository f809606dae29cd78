"""Results with round numbers, as a run of everything would leave them."""

from benchmarks import steps


def spread(value):
    return {"median": value, "low": value - 0.1, "high": value + 0.1}


def row(contestant, mode, precision, batch, seconds, ratio=None, reference=False):
    return {
        "mode": mode,
        "precision": precision,
        "batch": batch,
        "contestant": contestant,
        "seconds": spread(seconds),
        "rounds": [seconds],
        "ratio": None if ratio is None else spread(ratio),
        "is_reference": reference,
        "peak_mib": 1234.4,
    }


def export(seconds, ratio):
    return {
        "seconds": spread(seconds),
        "ratio": spread(ratio),
        "megabytes": 27.6,
        "peak_mib": 300.0,
    }


def nothing_run():
    """The results of a run of no part."""
    return {
        "machine": {
            "cpu": "Some CPU",
            "flags": ["avx2", "avx512_bf16"],
            "cores": 2,
            "system": "Linux",
            "python": "3.11.7",
            "versions": {"tensorflow": "2.21.0", "medpy": None},
            "commit": "0123456789ab",
        },
        "settings": {"rounds": 7, "image_size": 224, "peers": True},
        "minutes": 19.7,
    }


def everything_run():
    """The results of a run of every part, in which each target is met or missed."""
    eager = f"{steps.PEER}, eager"
    rows = [
        row("r50-unet", "train", "bfloat16", 8, 0.9, 0.9),
        row("transunet", "train", "bfloat16", 8, 3.0, 3.0),
        row("synergynet-8s2h", "train", "bfloat16", 8, 1.2, 1.2),
        row(steps.LITE0, "train", "bfloat16", 8, 0.6, 0.6),
        row(eager, "train", "bfloat16", 8, 1.0, 1.0, reference=True),
        row("synergynet-8s2h", "infer", "float32", 8, 2.0, 1.5),
        row(eager, "infer", "float32", 8, 1.3, 1.0, reference=True),
    ]
    return {
        **nothing_run(),
        "gemm": {
            "rates": {
                "float32": {"ours": {"1024": 90.0, "2048": 99.0, "4096": 100.0}},
                "bfloat16": {"ours": {"1024": 300.0, "2048": 380.0, "4096": 400.0}},
            },
            "best": {"float32": 100.0, "bfloat16": 400.0},
        },
        "steps": {
            "operations": {
                "r50-unet": 10 * 10**9,
                "transunet": 40 * 10**9,
                "synergynet-8s2h": 20 * 10**9,
                steps.LITE0: 6 * 10**9,
                steps.PEER: 12 * 10**9,
            },
            "peer_versions": {"torch": "2.14.1"},
            "rows": rows,
            "failed": [],
        },
        "exports": {
            "model": "synergynet-8s2h",
            "rows": {
                "Keras": export(0.2, 1.0),
                "TFLite, none": export(0.1, 0.5),
                "TFLite, int8": export(0.04, 0.2),
            },
        },
        "startup": {
            "commands": {"train.py --help": 0.2, "predict.py --help": 1.5},
            "first_step": 12.34,
        },
        "pipeline": {
            "rates": {
                "one after the other": 100.0,
                "by tf.data": 180.0,
                "taken by r50-unet in training, bfloat16": 20.0,
            },
            "ratio": 9.0,
        },
        "surface": {
            "liver": {
                "ours": {"hd95": 5.0, "seconds": 0.5, "mib": 37.0},
                "medpy": {"hd95": 5.0, "seconds": 25.0, "mib": 2000.0},
                "ratio": 50.0,
            },
            "gallbladder": {
                "ours": {"hd95": 5.0, "seconds": 0.2, "mib": 5.0},
                "medpy": {"hd95": 5.0, "seconds": 20.0, "mib": 1900.0},
                "ratio": 100.0,
            },
        },
    }
