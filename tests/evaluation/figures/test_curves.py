import cv2
import pytest

from synergynet_tf import runs
from synergynet_tf.evaluation.figures.curves import write_curves

PLAIN = {"epoch": 1, "loss": 0.5, "val_loss": 0.6, "dsc": 0.8, "val_dsc": 0.7}
CODES = {"codes_used": 9, "val_codes_used": 8, "perplexity": 7, "val_perplexity": 6}


@pytest.mark.parametrize(("row", "panels"), [(PLAIN, 2), (PLAIN | CODES, 3)])
def test_a_panel_for_loss_dsc_and_codes(row, panels, tmp_path):
    runs.write_csv(tmp_path / "history.csv", [row, {**row, "epoch": 2}])
    write_curves(runs.Run(tmp_path))
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape == (340, 450 * panels, 3)
    # Both curves are there, in their colors.
    for blue, green, red in ((0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5)):
        assert (picture == (blue, green, red)).all(axis=-1).any()


@pytest.mark.parametrize("lacking", ["epoch", "loss", "val_loss", "val_dsc"])
def test_a_history_without_a_column_is_refused(lacking, tmp_path):
    row = {name: value for name, value in PLAIN.items() if name != lacking}
    runs.write_csv(tmp_path / "history.csv", [row])
    with pytest.raises(ValueError, match=rf"history\.csv is .*no column {lacking}"):
        write_curves(runs.Run(tmp_path))
