"""libqwren itself: finds the library and its header, and turns the header into declarations for cffi.

The wheel carries the header beside the library, so that declarations and code cannot drift apart. In a source tree QWREN_LIBRARY names the library and
the header is include/qwren.h.
"""
import os
import re
import sys
from pathlib import Path

import cffi

from ._errors import BY_STATUS, QwenError

_HERE = Path(__file__).resolve().parent
_LIBRARY = {'darwin': 'libqwren.dylib', 'win32': 'qwren.dll'}.get(sys.platform, 'libqwren.so')


def declarations(header: str) -> str:
    """The text of qwren.h -> what cffi's cdef() takes: comments, QWREN_API and directives gone but for plain numbers, the status list written out."""
    text = re.sub(r'/\*.*?\*/', ' ', header, flags=re.S)
    text = text.replace('\\\n', ' ')
    codes = re.search(r'#define QWREN_STATUS_LIST\(X\)(.*)', text).group(1)
    enum = ' '.join(f'QWREN_{name} = {value},' for name, value in re.findall(r'X\((\w+),\s*(-?\d+),', codes))
    text = re.sub(r'#ifdef __cplusplus.*?#endif', '', text, flags=re.S)
    number = re.compile(r'#define \w+ \d+\s*$')
    lines = [line for line in text.split('\n') if not line.lstrip().startswith('#') or number.match(line)]
    text = '\n'.join(lines).replace('QWREN_STATUS_LIST(QWREN_STATUS_ENUM)', enum).replace('QWREN_API ', '')
    return re.sub(r'\n\s*\n+', '\n', text)


def _find(name: str, *places: Path) -> Path:
    for place in places:
        if place.exists():
            return place
    raise ImportError(f'qwen3_5: {name} is not among ' + ', '.join(map(str, places)) + '; install the package with pip, or set QWREN_LIBRARY')


def _load():
    named = os.environ.get('QWREN_LIBRARY')
    library = Path(named) if named else _find(_LIBRARY, _HERE / '_lib' / _LIBRARY, _HERE.parents[1] / 'build' / _LIBRARY)
    header = _find('qwren.h', _HERE / '_lib' / 'qwren.h', _HERE.parents[1] / 'include' / 'qwren.h')
    builder = cffi.FFI()
    builder.cdef(declarations(header.read_text(encoding='utf-8')))
    return builder, builder.dlopen(str(library))


ffi, lib = _load()


def version() -> str:
    return text(lib.qwren_version())


def text(pointer) -> str:
    """A C string as str; NULL is None."""
    return None if pointer == ffi.NULL else ffi.string(pointer).decode('utf-8')


def check(status: int, error) -> None:
    """Raises the exception of a failed call, with the library's sentence."""
    if status != lib.QWREN_OK:
        name = text(lib.qwren_status_name(status))
        raise BY_STATUS.get(name, QwenError)(text(error.text) or text(lib.qwren_status_text(status)))


def bundled_model(name: str) -> Path:
    """The directory of a model that came with the package, or with the source tree."""
    return _find(f'the model {name}', _HERE / 'models' / name, _HERE.parents[1] / 'models' / name)
