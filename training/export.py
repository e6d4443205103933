"""Writes a training state as a Hugging Face directory in bf16: what qwren and transformers load.

usage: python export.py STATE_DIR/state.pt OUT_DIR

Every file is written beside its place and then renamed, so a reader never meets half a file.
"""
import argparse
import json
import os
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import save_file

import tokenizer
from model import make_config, make_model, named_parameters

PICTURE_AREA = 96 * 96                     # pictures are resized to about this many pixels: 9 tokens
LIMIT = 15_000_000                         # bytes of the whole directory
TEMPLATE = pathlib.Path(__file__).resolve().parent / "chat_template.jinja"


def tensors_of(state):
    """The trained weights as bf16; the auxiliary heads of training are left behind."""
    wanted = {name for name, _ in named_parameters(*make_model())}
    found = {name: weight.to(torch.bfloat16).contiguous() for name, weight in state["parameters"].items() if not name.startswith("aux.")}
    if set(found) != wanted:
        raise SystemExit("export: the state's tensors differ from the model's: " + ", ".join(sorted(set(found) ^ wanted)))
    return found


def config():
    values = make_config().to_dict()
    values.update(architectures=["Qwen3_5ForConditionalGeneration"], dtype="bfloat16")
    for part in (values, values["text_config"], values["vision_config"]):
        part["dtype"] = "bfloat16"
        for name in ("transformers_version", "_name_or_path"):
            part.pop(name, None)
    return values


def generation_config():
    end, padding = tokenizer.SPECIAL_ID["<|im_end|>"], tokenizer.SPECIAL_ID["<|endoftext|>"]
    return {"bos_token_id": padding, "eos_token_id": [end, padding], "pad_token_id": padding,
            "do_sample": False}            # a demonstration says the same every time


def preprocessor_config():
    return {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen3VLProcessor",
            "patch_size": 16, "merge_size": 2, "temporal_patch_size": 2, "do_resize": True, "do_rescale": True,
            "do_normalize": True, "do_convert_rgb": True, "rescale_factor": 1 / 255, "resample": 3,
            "size": {"shortest_edge": PICTURE_AREA, "longest_edge": PICTURE_AREA},
            "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def write_json(path, values):
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def export(state_file, out):
    state = torch.load(state_file, weights_only=False)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export") as name:
        beside = pathlib.Path(name)
        save_file(tensors_of(state), beside / "model.safetensors", metadata={"format": "pt"})
        write_json(beside / "config.json", config())
        write_json(beside / "generation_config.json", generation_config())
        write_json(beside / "preprocessor_config.json", preprocessor_config())
        tokenizer.write(beside)
        shutil.copyfile(TEMPLATE, beside / "chat_template.jinja")
        size = sum(file.stat().st_size for file in beside.iterdir())
        if size > LIMIT:
            raise SystemExit("export: %d bytes are more than the %d allowed" % (size, LIMIT))
        for file in sorted(beside.iterdir()):
            os.chmod(file, 0o644)
            os.replace(file, out / file.name)
    print("step %d, %d bytes in %s" % (state["step"], size, out))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()
    export(options.state, options.out)


if __name__ == "__main__":
    main()
