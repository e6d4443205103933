"""Whatever Python calls a picture -> something libqwren can open when the request asks for it."""
import io
import os

import numpy as np

from ._native import ffi, lib

_PNG_MODES = {'1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'}


def opener(image):
    """A function (out, err) -> status that makes a new qwren_image. Raises TypeError or ValueError for what is no picture at all."""
    if isinstance(image, os.PathLike):
        return _open_path(os.fspath(image))
    if isinstance(image, str):
        if image.startswith(('http://', 'https://')):
            raise ValueError(f'{image}: qwen3_5 opens no network connections; download the picture and give its path or bytes')
        return _open_path(image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode(bytes(image))
    if hasattr(image, '__array_interface__') and not hasattr(image, 'convert'):
        return _from_array(np.asarray(image))
    if hasattr(image, 'convert') and hasattr(image, 'save'):
        return _decode(_png_of(image))
    raise TypeError(f'an image is a path, bytes, a PIL image or a uint8 array [height, width, 3], not {type(image).__name__}')


def _open_path(path):
    encoded = os.fsencode(path)
    return lambda out, err: lib.qwren_image_open(out, encoded, ffi.NULL, err)


def _decode(data):
    return lambda out, err: lib.qwren_image_decode(out, ffi.from_buffer(data), len(data), ffi.NULL, err)


def _from_array(array):
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f'an image array is uint8 [height, width, 3], not {array.dtype} {list(array.shape)}')
    array = np.array(array, order='C', copy=True)  # the caller may change his afterwards
    height, width, _ = array.shape
    return lambda out, err: lib.qwren_image_from_rgb(out, ffi.cast('const uint8_t *', array.ctypes.data), width, height, 0, err)


def _png_of(image):
    """A PIL image as PNG bytes: lossless, turned as its EXIF says, and transparency is laid on white in one place, the library."""
    from PIL import ImageOps
    image = ImageOps.exif_transpose(image)
    if image.mode not in _PNG_MODES:
        image = image.convert('RGB')
    file = io.BytesIO()
    image.save(file, 'PNG', compress_level=1)
    return file.getvalue()
