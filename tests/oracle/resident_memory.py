#!/usr/bin/env python3
"""How much memory an answer takes that reads all weights, against what it may take: files + session + 100 MB.

usage: python resident_memory.py MODEL PROGRAM [TOKENS]

Weights are mapped, so their pages count once they were read; a second copy of them would count again. Needs nothing but Python, on Linux.
"""
import json
import pathlib
import resource
import subprocess
import sys

ALLOWANCE = 100e6


def main():
    model, program = sys.argv[1:3]
    tokens = sys.argv[3] if len(sys.argv) > 3 else "48"
    told = json.loads(subprocess.run([program, "inspect", "--json", "-m", model], check=True, capture_output=True).stdout)
    files = sum(f.stat().st_size for f in pathlib.Path(model).glob("**/*.safetensors"))
    session = told["memory"]["total_bytes"]
    subprocess.run([program, "run", "-q", "-m", model, "--no-think", "--greedy", "-n", tokens, "Tell me a long story about a lighthouse."], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"files {files / 1e6:.1f} MB, session of {told['memory']['n_ctx']} tokens at most {session / 1e6:.1f} MB, resident at most {peak / 1e6:.1f} MB: "
          f"{(peak - files) / 1e6:.1f} MB beside the files")
    sys.exit(peak > files + session + ALLOWANCE)


if __name__ == "__main__":
    main()
