"""generate() with the bundled model: shapes of arguments and results, streams, pictures in every form."""
import gc
import threading

import numpy as np
import pytest
from PIL import Image

import qwen3_5
from qwen3_5 import _images, _native

QUESTION = 'What is in the picture?'
GREEDY = dict(temperature=0, thinking=False, max_tokens=60)
RED = 'How do you say "red" in French?'


def test_the_example_of_the_readme(model, shapes):
    answers = model.generate(['Analyze this image...'], images=[str(shapes)], max_tokens=100)
    assert isinstance(answers, list) and len(answers) == 1
    assert isinstance(answers[0], str) and answers[0].strip()


def test_a_str_gives_a_str_and_a_list_gives_a_list(model):
    one = model.generate(RED, **GREEDY)
    assert isinstance(one, str) and 'rouge' in one
    two = model.generate([RED, 'How do you say "blue" in French?'], **GREEDY)
    assert [type(a) for a in two] == [qwen3_5.Answer] * 2
    assert two[0] == one and 'bleu' in two[1]
    assert model.generate([], **GREEDY) == []


def test_an_answer_tells_how_it_came_about(model):
    answer = model.generate('What is 2 + 3?', **GREEDY)
    assert answer.finish_reason == 'stop' and answer.reasoning is None and answer.tool_calls == []
    assert answer.usage['completion_tokens'] > 0 and answer.usage['prompt_tokens'] > 0
    assert model.generate('What is 2 + 3?', temperature=0, thinking=False, max_tokens=1).finish_reason == 'length'


def test_thinking_shows_in_the_reasoning(model):
    answer = model.generate('What is 487 + 356?', temperature=0, thinking=True, max_tokens=400)
    assert answer.reasoning and '843' in answer


def test_a_stream_gives_the_same_text_in_pieces(model):
    whole = model.generate('What is 2 + 3?', **GREEDY)
    stream = model.generate('What is 2 + 3?', stream=True, **GREEDY)
    pieces = list(stream)
    assert ''.join(pieces) == whole == stream.answer
    assert all(isinstance(piece, str) and piece.kind == 'content' for piece in pieces)
    assert list(stream) == []


def test_a_stream_shows_the_thought_when_asked(model):
    stream = model.generate('What is 487 + 356?', stream=True, reasoning=True, temperature=0, thinking=True, max_tokens=400)
    pieces = list(stream)
    assert ''.join(p for p in pieces if p.kind == 'reasoning').strip() == stream.answer.reasoning.strip()
    assert ''.join(p for p in pieces if p.kind == 'content') == stream.answer


def test_a_stream_left_early_stops_the_model(model):
    before = threading.active_count()
    with model.generate('What is 487 + 356?', stream=True, reasoning=True, temperature=0, thinking=True, max_tokens=4000) as stream:
        next(stream)
    assert threading.active_count() == before
    stream = model.generate('What is 487 + 356?', stream=True, temperature=0, thinking=True, max_tokens=4000)
    stream.close()
    assert list(stream) == []
    assert 'rouge' in model.generate(RED, **GREEDY)


def test_a_dropped_stream_does_not_keep_the_model_busy():
    model = qwen3_5.load_model('qwren-nano')
    model.generate('What is 487 + 356?', stream=True, thinking=True, max_tokens=4000)
    gc.collect()
    model.close()


def test_pictures_in_every_form_give_one_answer(model, shapes):
    array = np.asarray(Image.open(shapes).convert('RGB'))
    forms = [str(shapes), shapes, shapes.read_bytes(), Image.open(shapes), array, np.asfortranarray(array)]
    answers = {str(model.generate(QUESTION, images=[form], **GREEDY)) for form in forms}
    assert len(answers) == 1 and answers.pop().strip()
    assert model.generate(QUESTION, images=shapes, **GREEDY) == model.generate([QUESTION], images=[[shapes]], **GREEDY)[0]


def test_each_of_several_prompts_has_its_own_pictures(model, shapes):
    answers = model.generate([QUESTION, 'What is 2 + 3?'], images=[[shapes], None], **GREEDY)
    assert answers[0] == model.generate(QUESTION, images=shapes, **GREEDY)
    assert answers[1] == model.generate('What is 2 + 3?', **GREEDY)
    with pytest.raises(ValueError, match='2 prompts need images= with 2 entries'):
        model.generate([QUESTION, QUESTION], images=[shapes])


def test_the_same_seed_gives_the_same_text(model):
    ask = dict(temperature=1.5, seed=7, thinking=False, max_tokens=30)
    assert model.generate('Hello', **ask) == model.generate('Hello', **ask)


def test_threads_share_one_model(model):
    answers = [None] * 4

    def ask(i):
        answers[i] = model.generate(f'What is {i} + 3?', **GREEDY)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [model.generate(f'What is {i} + 3?', **GREEDY) for i in range(4)]


def test_info_tells_what_the_checkpoint_is(model):
    assert model.info['architecture'] == 'Qwen3_5ForConditionalGeneration'
    assert model.info['n_layers'] > 0 and model.info['has_vision'] is True


def test_a_pil_image_is_turned_like_its_file(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6  # a quarter to the right
    file = tmp_path / 'turned.png'
    Image.new('RGB', (4, 2), 'red').save(file, exif=exif)
    for source in file, Image.open(file):
        out, err = _native.ffi.new('qwren_image **'), _native.ffi.new('qwren_error *')
        assert _images.opener(source)(out, err) == 0
        assert (_native.lib.qwren_image_width(out[0]), _native.lib.qwren_image_height(out[0])) == (2, 4)
        _native.lib.qwren_image_free(out[0])
