"""A GGUF file in place of a directory: a small random model that gguf-py wrote."""
from pathlib import Path

import pytest

import qwen3_5

SMALL = Path(__file__).resolve().parents[2] / 'tests' / 'golden' / 'data' / 'gguf' / 'small'
ASK = dict(temperature=0, thinking=False, max_tokens=4)


def test_a_file_and_its_directory_are_one_model():
    with qwen3_5.load_model(SMALL / 'model.gguf') as a, qwen3_5.load_model(SMALL) as b:
        assert a.info['vocab_size'] == 640 and a.info['has_vision']
        answer = a.generate('Hello', **ASK)
        assert answer == b.generate('Hello', **ASK) and answer.usage['completion_tokens'] == 4


def test_the_tower_may_lie_elsewhere_or_be_left_out(tmp_path, shapes):
    alone = tmp_path / 'model.gguf'
    alone.write_bytes((SMALL / 'model.gguf').read_bytes())
    with qwen3_5.load_model(alone, mmproj=SMALL / 'mmproj-model.gguf') as there, qwen3_5.load_model(SMALL) as beside:
        assert there.generate('What is this?', [shapes], **ASK) == beside.generate('What is this?', [shapes], **ASK)
    with qwen3_5.load_model(SMALL, mmproj='none') as without:
        assert not without.info['has_vision']
        with pytest.raises(qwen3_5.QwenError):
            without.generate('What is this?', [shapes], **ASK)


def test_wrong_files_are_told():
    with pytest.raises(OSError, match='no-model.gguf'):
        qwen3_5.load_model('no-model.gguf')
    with pytest.raises(OSError, match='no-tower.gguf'):
        qwen3_5.load_model(SMALL, mmproj='no-tower.gguf')
    with pytest.raises(ValueError, match='mmproj'):
        qwen3_5.load_model('qwren-nano', mmproj=SMALL / 'mmproj-model.gguf')
