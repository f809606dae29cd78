"""docs/private-apis.md lists every use of a private API, each with a test."""

import ast
import pathlib
import re
import threading

import keras
import numpy as np

from synergynet_tf.cli import command_line
from synergynet_tf.layers import ConvBlock
from synergynet_tf.training.fit import compiled_model
from synergynet_tf.training.replicas import _ListOfThread

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "private-apis.md").read_text("utf-8")
# Documented all the same.
PUBLIC = {"_exit", "_replace", "_asdict", "_fields"}
PRIVATE_MODULE = re.compile(r"(keras\.src|tensorflow\.(.+\.)?(python|tools|core))\b")


def rows():
    """Returns the cells of the page's table."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| `synergynet_tf")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def uses_in(tree):
    """Yields each use of a private API: the function it is in, and what is touched."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imports = [node for node in imports if node.module.startswith("synergynet_tf")]
    modules = {alias.name for node in imports for alias in node.names}

    def visit(node, scope, own):
        if isinstance(node, ast.ClassDef):
            own = own | names_defined_in(node)
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            scope = [*scope, node.name]
        for touched in touches(node, own, modules):
            yield ".".join(scope), touched
        for child in ast.iter_child_nodes(node):
            yield from visit(child, scope, own)

    yield from visit(tree, [], set())


def names_defined_in(class_):
    methods = {n.name for n in ast.walk(class_) if isinstance(n, ast.FunctionDef)}
    stored = [
        n for n in ast.walk(class_) if isinstance(getattr(n, "ctx", 0), ast.Store)
    ]
    fields = {n.attr for n in stored if isinstance(n, ast.Attribute)}
    return methods | fields | {n.id for n in stored if isinstance(n, ast.Name)}


def touches(node, own, modules):
    """Returns what a node touches.

    Args:
        node: Of the syntax tree.
        own: Names that the class around it defines.
        modules: Names of this package's modules in the file.
    """
    if isinstance(node, ast.ImportFrom) and PRIVATE_MODULE.match(node.module):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Import):
        names = (alias.name for alias in node.names)
        return [name for name in names if PRIVATE_MODULE.match(name)]
    if not isinstance(node, ast.Attribute):
        return []
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    if owner in modules:
        return []
    of_self = owner in ("self", "cls")
    private = re.match(r"_[^_]", node.attr) and node.attr not in PUBLIC
    if private and not (of_self and node.attr in own):
        return [node.attr]
    is_method = callable(getattr(keras.Model, node.attr, None))
    if isinstance(node.ctx, ast.Store) and is_method and not of_self:
        return [f"{node.attr} ="]
    return []


def test_the_page_lists_every_use():
    found = {
        (path.relative_to(ROOT).as_posix(), *use)
        for path in (ROOT / "synergynet_tf").rglob("*.py")
        for use in uses_in(ast.parse(path.read_text("utf-8")))
    }
    listed = [re.findall(r"`([^`]+)`", f"{row[0]} {row[1]}") for row in rows()]
    assert sorted(map(tuple, listed)) == sorted(found)


def test_every_row_has_its_reason_a_pin_and_a_test_that_is_there():
    requirements = (ROOT / "requirements.txt").read_text("utf-8")
    for _where, _what, reason, pin, test in rows():
        assert reason
        assert "argparse" in pin or f"\n{pin.strip('`')}" in requirements
        file, _, name = test.strip("`").partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.M), (
            test
        )


def test_argparse_lists_its_actions():
    parser = command_line.ArgumentParser("")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", "--name")
    args = parser.parse_args(["--name", "a", "--seed", "0"])
    assert parser.given(args) == {"name": "--name"}


def test_flatten_layers_reaches_layers_inside_layers():
    image = keras.Input((8, 8, 3))
    block = ConvBlock(4, name="block")
    model = keras.Model(image, block(image))
    layers = list(model._flatten_layers())
    assert {block, block.convolution, block.normalization} <= set(layers)


def test_keras_calls_a_replaced_call():
    layer = keras.layers.BatchNormalization()
    image = keras.Input((1, 1, 1))
    model = keras.Model(image, layer(image))
    layer.call = lambda inputs, training=None, mask=None: inputs + 7.0
    model.compile(loss="mse", jit_compile=False)
    ones = np.ones((2, 1, 1, 1), "float32")
    np.testing.assert_array_equal(model(ones), 8 * ones)
    assert model.test_on_batch(ones, 8 * ones) == 0  # In a graph, too.


def test_metrics_have_variables_before_the_first_step(tiny):
    model = compiled_model(tiny, steps=1)
    before = {variable.path for variable in model.metrics_variables}
    images = np.zeros((2, 32, 32, 3), "float32")
    model.train_on_batch(images, np.zeros((2, 32, 32), "int32"))
    assert {variable.path for variable in model.metrics_variables} == before


def test_losses_are_collected_per_thread():
    layer = keras.layers.Layer()
    layer._losses = _ListOfThread()
    other = threading.Thread(target=lambda: layer.add_loss(keras.ops.ones(())))
    other.start()
    other.join()
    assert layer.losses == []
    layer.add_loss(keras.ops.zeros(()))
    assert [float(loss) for loss in layer.losses] == [0.0]
