"""The declarations come from qwren.h itself: every exported function is there, with the compiler's own idea of each struct."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qwen3_5 import _native

HEADER = Path(__file__).resolve().parents[2] / 'include' / 'qwren.h'


def test_every_exported_function_is_declared_and_found():
    names = set(re.findall(r'QWREN_API [^;(]*?(qwren_\w+)\(', HEADER.read_text().replace('\n', ' ')))
    assert len(names) > 40
    for name in names:
        assert callable(getattr(_native.lib, name)), name


def test_the_status_codes_are_the_headers():
    assert _native.lib.QWREN_OK == 0
    assert _native.text(_native.lib.qwren_status_name(_native.lib.QWREN_E_FORMAT)) == 'E_FORMAT'


@pytest.mark.skipif(not shutil.which('cc'), reason='no C compiler')
def test_structs_are_as_large_as_the_compiler_makes_them(tmp_path):
    structs = re.findall(r'^}? ?typedef struct (qwren_\w+) \{|^typedef struct (qwren_\w+) \{', HEADER.read_text(), flags=re.M)
    names = sorted({first or second for first, second in structs})
    assert 'qwren_model_options' in names and 'qwren_event' in names
    lines = ''.join(f'printf("{name} %zu\\n", sizeof({name}));' for name in names)
    source = tmp_path / 'sizes.c'
    source.write_text(f'#include <stdio.h>\n#include "qwren.h"\nint main(void) {{ {lines} return 0; }}\n')
    subprocess.run(['cc', f'-I{HEADER.parent}', str(source), '-o', str(tmp_path / 'sizes')], check=True)
    for line in subprocess.run([str(tmp_path / 'sizes')], check=True, capture_output=True, text=True).stdout.splitlines():
        name, size = line.split()
        assert _native.ffi.sizeof(name) == int(size), name
