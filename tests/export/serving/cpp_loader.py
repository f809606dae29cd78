"""Runs a SavedModel by TensorFlow's C API: by the loader that TensorFlow Serving uses.

No Python of TensorFlow's is between the folder and its outputs; only the tensors'
names are read with a protobuf of the wheel.
"""

import ctypes
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

STRING_BYTES = 24  # sizeof(TF_TString).


class InvalidRequest(ValueError):
    """What the graph, or the session, refuses."""


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


def load_library():
    """Returns the wheel's C API with the results that are not `int` declared."""
    folder = pathlib.Path(tf.__file__).parent
    ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
    for name in (
        "NewStatus NewGraph NewSessionOptions LoadSessionFromSavedModel AllocateTensor "
        "TensorData GraphOperationByName StringGetDataPointer"
    ).split():
        getattr(library, f"TF_{name}").restype = ctypes.c_void_p
    library.TF_NewBuffer.restype = ctypes.POINTER(Buffer)
    library.TF_Message.restype = ctypes.c_char_p
    for name in ("StringGetSize", "TensorByteSize"):
        getattr(library, f"TF_{name}").restype = ctypes.c_size_t
    library.TF_Dim.restype = ctypes.c_int64
    return library


class CppModel:
    """A SavedModel that was loaded by C++.

    Args:
        folder: Of one version.
    """

    def __init__(self, folder):
        self._library = library = load_library()
        self._graph = ctypes.c_void_p(library.TF_NewGraph())
        options = ctypes.c_void_p(library.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        meta = library.TF_NewBuffer()
        status = self._new_status()
        session = library.TF_LoadSessionFromSavedModel(
            options, None, str(folder).encode(), tags, 1, self._graph, meta, status
        )
        self._check(status)
        self._session = ctypes.c_void_p(session)
        text = ctypes.string_at(meta.contents.data, meta.contents.length)
        graph = meta_graph_pb2.MetaGraphDef.FromString(text)
        self.signatures = dict(graph.signature_def)

    def run(self, signature, inputs):
        """Returns the outputs of a signature by name; `inputs` are arrays by name."""
        library, definition = self._library, self.signatures[signature]
        if set(inputs) != set(definition.inputs):
            raise InvalidRequest(f"inputs {sorted(inputs)} are not the signature's")
        for name, array in inputs.items():
            wanted = definition.inputs[name].dtype
            if dtype_of(array) != wanted:
                wanted = types_pb2.DataType.Name(wanted)
                raise InvalidRequest(f"{name} must be {wanted}, is {array.dtype}")
        names = list(definition.outputs)
        fed = (Output * len(inputs))(*self._places(definition.inputs, inputs))
        fetched = (Output * len(names))(*self._places(definition.outputs, names))
        tensors = [self._to_tensor(np.asarray(array)) for array in inputs.values()]
        values = (ctypes.c_void_p * len(tensors))(*tensors)
        results = (ctypes.c_void_p * len(names))()
        status = self._new_status()
        library.TF_SessionRun(
            *(self._session, None, fed, values, len(tensors)),
            *(fetched, results, len(names), None, 0, None, status),
        )
        for tensor in tensors:
            library.TF_DeleteTensor(ctypes.c_void_p(tensor))
        self._check(status)
        return dict(zip(names, map(self._to_array, results), strict=True))

    def _places(self, infos, names):
        for name in names:
            operation, index = infos[name].name.split(":")
            found = self._library.TF_GraphOperationByName(
                self._graph, operation.encode()
            )
            yield Output(found, int(index))

    def _new_status(self):
        return ctypes.c_void_p(self._library.TF_NewStatus())

    def _check(self, status):
        code = self._library.TF_GetCode(status)
        message = self._library.TF_Message(status).decode()
        self._library.TF_DeleteStatus(status)
        if code:
            raise InvalidRequest(message)

    def _to_tensor(self, array):
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        is_string = array.dtype.kind in "OS"
        length = array.size * STRING_BYTES if is_string else array.nbytes
        dtype = dtype_of(array)
        arguments = dtype, shape, array.ndim, ctypes.c_size_t(length)
        tensor = self._library.TF_AllocateTensor(*arguments)
        data = self._library.TF_TensorData(ctypes.c_void_p(tensor))
        if not is_string:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, length)
            return tensor
        for number, text in enumerate(array.ravel()):
            place = ctypes.c_void_p(data + number * STRING_BYTES)
            self._library.TF_StringInit(place)
            self._library.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))
        return tensor

    def _to_array(self, tensor):
        library, tensor = self._library, ctypes.c_void_p(tensor)
        shape = [library.TF_Dim(tensor, i) for i in range(library.TF_NumDims(tensor))]
        dtype = tf.dtypes.as_dtype(library.TF_TensorType(tensor))
        data = library.TF_TensorData(tensor)
        if dtype != tf.string:
            text = ctypes.string_at(data, library.TF_TensorByteSize(tensor))
            array = np.frombuffer(text, dtype.as_numpy_dtype).reshape(shape)
        else:
            array = np.empty(shape, object)
            for number in range(array.size):
                place = ctypes.c_void_p(data + number * STRING_BYTES)
                text = library.TF_StringGetDataPointer(place)
                size = library.TF_StringGetSize(place)
                array.flat[number] = ctypes.string_at(text, size)
        library.TF_DeleteTensor(tensor)
        return array


def dtype_of(array):
    """Returns an array's type as TensorFlow numbers it; of objects, strings."""
    array = np.asarray(array)
    return tf.dtypes.as_dtype(array.dtype).as_datatype_enum
