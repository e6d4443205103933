#!/usr/bin/env python3
"""Golden values of src/base/json.c: how Python itself prints numbers and documents.

    make_base.py tests/golden/data/base

repr.txt    "<16 hex digits of the double> <repr>" a line: powers of two and ten, their neighbours, limits, seeded random bits
dumps.txt   pairs of lines: a JSON document, then json.dumps(json.loads(document), ensure_ascii=False)

Needs nothing beyond Python's standard library (any version: repr and dumps have not changed since 3.1).
"""
import json
import math
import random
import struct
import sys
from pathlib import Path

DOCUMENTS = [
    'null', 'true', 'false', '0', '-0', '-0.0', '1.0', '1', '-17', '1e5', '1E+2', '1e16', '123456789012345680.0', '1e-7', '0.1', '3.141592653589793',
    '9223372036854775807', '-9223372036854775808', '9223372036854775808', '-9223372036854775809', '12345678901234567890',
    '123456789012345678901234567890', '-123456789012345678901234567890', '[18446744073709551616, 1, 18446744073709551615]',
    '{"big": 100000000000000000000000000, "text": "100000000000000000000000000", "real": 100000000000000000000000000.0, "exp": 100000000000000000000000000e0}',
    '""', '"a"', r'"\u0000"', r'"\u001f\u007f"', r'"\"\\\/\b\f\n\r\t"', r'"\u00e9\u20ac\ud83d\ude00"', '"\u00e9\u20ac\U0001f600 \u2028\u2029"',
    '[]', '{}', '[[], {}, [[]], {"a": {}}]', '[1,2,3]', '  [ 1 ,\t2\n, 3 ]  ', '{"b":1,"a":2,"c":{"z":[],"y":{}}}',
    '{"b":1,"a":2,"b":3}', '{"":0," ":1,"\\u00fc":2}', '[true,false,null,"x",1,1.5,[],{}]', r'{"a\"b\\c\n": "\u0001"}', '["\\u0001int", "\\u0001"]',
]


def doubles():
    values = [0.0, 1.0, -1.0, 0.1, 0.2, 0.3, 1 / 3, 1e15, 1e16, 1e17, 1e-4, 1e-5, 123456789012345680.0, 9007199254740993.0,
              sys.float_info.max, sys.float_info.min, 5e-324, 2.2250738585072011e-308, 1e22, 1e23, 5e-5, 9.5e-5, 0.00012345, 100.0, 1234.5]
    for e in range(-1074, 1024):
        values.append(math.ldexp(1.0, e))
    for e in range(-323, 309, 7):
        v = float(f'1e{e}')
        values += [v, math.nextafter(v, 0.0), math.nextafter(v, math.inf)]
    rng = random.Random(20)
    while len(values) < 4000:
        v = struct.unpack('<d', struct.pack('<Q', rng.getrandbits(64)))[0]
        if math.isfinite(v):
            values.append(v)
    values += [round(rng.uniform(-1000, 1000), rng.randrange(8)) for _ in range(1000)]
    return values + [-v for v in values[:40]]


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with open(out / 'repr.txt', 'w') as f:
        for v in doubles():
            f.write(f"{struct.unpack('<Q', struct.pack('<d', v))[0]:016x} {v!r}\n")
    with open(out / 'dumps.txt', 'w', encoding='utf-8') as f:
        for text in DOCUMENTS:
            text = text.replace('\n', ' ')
            f.write(text + '\n' + json.dumps(json.loads(text), ensure_ascii=False) + '\n')


main()
