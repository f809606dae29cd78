import json

import pytest

from synergynet_tf.config import (
    PAPER_VQ,
    RECIPES,
    ExperimentConfig,
    ModelConfig,
    default_data_dir,
    num_logits,
)


def test_the_defaults_are_the_paper_s():
    config = ExperimentConfig()
    # Section 3, Implementation Details and Architecture Configuration.
    assert config.model.image_size == 224
    assert config.training.batch_size == 8
    assert config.optimizer.learning_rate == 0.01
    assert config.optimizer.momentum == 0.9
    assert config.optimizer.l2 == 0.0001
    assert config.model.backbone == "resnet50"
    assert config.model.encoder_weights == "imagenet"
    assert config.model.num_codes == 1024
    assert config.model.hidden_dim == 512
    assert config.loss.cross_entropy_weight == config.loss.dice_weight == 1.0


def test_json_gives_the_config_back():
    config = ExperimentConfig().replace(name="vqunet", limit=3, **PAPER_VQ)
    assert ExperimentConfig.from_json(config.to_json()) == config
    assert config.model.restart_every == 0
    assert config.data.limit == 3


def test_a_config_of_before_means_what_it_meant():
    config = ExperimentConfig()
    parts = json.loads(config.to_json())
    for part, names in {
        "data": ["center_crop"],
        "model": ["attention", "vq_loss"],
        "optimizer": [
            *("optimizer", "weight_decay", "spared", "schedule"),
            *("warmup_steps", "clip_norm", "ema_decay"),
        ],
        "training": ["augmentation"],
    }.items():
        for name in names:
            del parts[part][name]
    # Whatever is default now: the old layers, and decay on every weight.
    before = config.replace(attention="paper", spared="none")
    assert ExperimentConfig.from_json(json.dumps(parts)) == before
    # What those versions wrote, and what no version ever left out, is required.
    del parts["model"]["vq_init"]
    with pytest.raises(ValueError, match="model lacks vq_init"):
        ExperimentConfig.from_json(json.dumps(parts))


def test_recipes_are_settings():
    assert RECIPES["paper"] == {}
    modern = ExperimentConfig().replace(**RECIPES["modern"])
    assert (modern.optimizer.optimizer, modern.optimizer.clip_norm) == ("adamw", 1.0)
    assert modern.training.augmentation == "strong"


def test_replace_refuses_what_is_no_setting():
    with pytest.raises(ValueError, match="colour"):
        ExperimentConfig().replace(colour=1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("image_size", 100),
        ("image_size", 0),
        ("num_codes", 1),
        ("num_classes", 0),
        ("bottleneck_stride", 8),
        ("commitment_cost", -1.0),
        ("restart_every", -1),
        ("vq_init", "zeros"),
        ("vq_update", "ema"),
        ("vq_estimator", "gumbel"),
        ("vq_distance", "manhattan"),
        ("vq_loss", "max"),
        ("attention", "cosine"),
        ("optimizer", "adam"),
        ("spared", "biases"),
        ("schedule", "step"),
        ("weight_decay", -0.1),
        ("warmup_steps", -1),
        ("clip_norm", -1.0),
        ("clip_norm", float("inf")),
        ("ema_decay", 1.0),
        ("augmentation", "nnunet"),
        ("center_crop", 0.0),
        ("center_crop", 1.1),
        ("hidden_dim", 0),
        ("vit_layers", 0),
        ("vit_dim", 96),
        ("epochs", 0),
        ("batch_size", 0),
        ("seed", -1),
        ("precision", "int8"),
        ("strategy", "tpu"),
        ("devices", "0 0"),
        ("devices", "0 a"),
        ("devices", "0 1"),  # Which is for `mirrored`.
        ("early_stopping", 0),
        ("split", "mine"),
        ("split_seed", -1),
        ("limit", 0),
        ("fold", "0/5"),
        ("fold", "6/5"),
        ("fold", "1/1"),
        ("fold", "1"),
        ("channels", "0 1 2 3"),
        ("channels", "1 1"),
        ("channels", "-1"),
        ("channels", "T1"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("seed", 2**32),
        ("momentum", 1.0),
        ("l2", -1e-4),
        ("decay_power", -1.0),
        ("smooth", 0.0),
        ("dice_weight", -1.0),
    ],
)
def test_a_setting_out_of_its_range_is_refused(setting, value):
    with pytest.raises(ValueError, match=rf"`{setting}` must be .*{setting}={value!r}"):
        ExperimentConfig().replace(**{setting: value})


def test_a_fold_is_of_a_random_split():
    with pytest.raises(ValueError, match=r"`split` must be random for --fold 1/5"):
        ExperimentConfig().replace(fold="1/5", split="paper")
    assert ExperimentConfig().replace(fold="1/5", split="random").data.fold == "1/5"


def test_the_nearest_image_size_is_named():
    with pytest.raises(ValueError, match=r"multiple of 16 \(the nearest: 96\)"):
        ModelConfig(image_size=100)


def _edited(edit):
    values = json.loads(ExperimentConfig().to_json())
    edit(values)
    return json.dumps(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        (_edited(lambda v: v.pop("loss")), "lacks loss"),
        (_edited(lambda v: v["model"].pop("name")), "model lacks name"),
        (_edited(lambda v: v["model"].update(depth=3)), "unknown 'depth'"),
        (_edited(lambda v: v["training"].update(epochs="9")), "`epochs` must be int"),
        (_edited(lambda v: v["training"].update(epochs=True)), "`epochs` must be int"),
        (_edited(lambda v: v["training"].update(epochs=-9)), "at least 1"),
    ],
)
def test_damaged_json_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        ExperimentConfig.from_json(text)


def test_data_dir(monkeypatch):
    monkeypatch.delenv("SYNERGYNET_DATA", raising=False)
    assert str(default_data_dir("isic")) == "data/isic"
    monkeypatch.setenv("SYNERGYNET_DATA", "/scans")
    assert str(default_data_dir("isic")) == "/scans/isic"


def test_one_class_has_one_logit_and_several_have_the_background():
    assert [num_logits(classes) for classes in (1, 2, 3)] == [1, 3, 4]
