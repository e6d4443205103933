"""Runs random cases through a program and a reference, and shows where they differ. For random_template.py and random_parse.py."""
import argparse
import json
import subprocess
import sys


def arguments(doc, *own):
    """-> (options, the program's command line: what stands behind "--")"""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in own:
        p.add_argument(name)
    p.add_argument("--count", type=int, default=5000)
    p.add_argument("--seed", type=int, default=1)
    if "--" not in sys.argv:
        p.error("the program to compare stands behind --")
    at = sys.argv.index("--")
    return p.parse_args(sys.argv[1:at]), sys.argv[at + 1:]


def compare(program, cases, reference, same, shown=lambda case: case):
    """One JSON line in and one out for each case. Prints the first differences; -> (what the reference said, number of differences)"""
    lines = "".join(json.dumps(c, ensure_ascii=False) + "\n" for c in cases)
    out = subprocess.run(program, input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")[:-1]
    assert len(out) == len(cases), f"{len(out)} lines came back for {len(cases)} cases"
    wanted = [reference(c) for c in cases]
    wrong = [i for i, line in enumerate(out) if not same(json.loads(line), wanted[i])]
    for i in wrong[:5]:
        print(json.dumps(shown(cases[i]), ensure_ascii=False), " got: " + out[i], "want: " + json.dumps(wanted[i], ensure_ascii=False), sep="\n")
    return wanted, len(wrong)
