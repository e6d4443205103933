"""Errors are exceptions with the library's sentence, and the built-in kind that fits."""
import numpy as np
import pytest

import qwen3_5


def test_a_missing_model_is_an_os_error_with_its_path(tmp_path):
    with pytest.raises(OSError, match='no-such-model') as caught:
        qwen3_5.load_model(tmp_path / 'no-such-model')
    assert isinstance(caught.value, qwen3_5.QwenIOError) and caught.value.status == 'E_IO'


def test_a_path_with_a_zero_byte_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match='zero byte'):
        qwen3_5.load_model(f'{tmp_path}\0nothing')
    with pytest.raises(ValueError, match='zero byte'):
        qwen3_5.load_model('qwren-nano', mmproj='none\0.gguf')


def test_an_empty_directory_is_no_model(tmp_path):
    with pytest.raises(qwen3_5.QwenError, match='config.json'):
        qwen3_5.load_model(tmp_path)


def test_a_damaged_config_is_a_value_error(tmp_path):
    (tmp_path / 'config.json').write_text('{"model_type": ')
    with pytest.raises(ValueError, match='config.json') as caught:
        qwen3_5.load_model(tmp_path)
    assert caught.value.status == 'E_FORMAT'


@pytest.mark.parametrize('name', ['qwen3.5-0.8b', 'Qwen/Qwen3.5-0.8B', 'Qwen3.5-9B-Base', 'qwen3_5-4b'])
def test_a_published_name_says_what_to_give_instead(name):
    with pytest.raises(ValueError, match='path of its directory'):
        qwen3_5.load_model(name)


def test_a_missing_picture_is_an_os_error(model):
    with pytest.raises(OSError, match='no-such.png'):
        model.generate('What is this?', images=['no-such.png'])


def test_bytes_that_are_no_picture_are_a_value_error(model):
    with pytest.raises(qwen3_5.QwenError):
        model.generate('What is this?', images=[b'neither PNG nor JPEG'])


def test_the_network_is_never_opened(model):
    with pytest.raises(ValueError, match='no network'):
        model.generate('What is this?', images=['https://example.org/x.png'])


@pytest.mark.parametrize('bad', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)])
def test_an_array_of_another_shape_or_type_is_refused(model, bad):
    with pytest.raises(ValueError, match='uint8'):
        model.generate('What is this?', images=[bad])


def test_what_is_no_picture_or_prompt_is_a_type_error(model):
    with pytest.raises(TypeError, match='image'):
        model.generate('What is this?', images=[3.5])
    with pytest.raises(TypeError, match='prompt'):
        model.generate([{'role': 'user'}])
    with pytest.raises(TypeError, match='temprature'):
        model.generate('Hello', temprature=1)
    with pytest.raises(ValueError, match='one prompt'):
        model.generate(['a', 'b'], stream=True)


def test_a_senseless_option_is_refused_by_name(model):
    with pytest.raises(ValueError, match='top_p'):
        model.generate('Hello', top_p=-3)


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf'), np.float64('nan')])
def test_what_is_no_finite_number_is_refused_by_its_name(model, bad):
    with pytest.raises(ValueError, match='temperature is .*finite number'):
        model.generate('Hello', temperature=bad)
    with pytest.raises(ValueError, match=r'logit_bias\[7\] is'):
        model.generate('Hello', logit_bias={7: bad})


def test_errors_arrive_through_a_stream(model):
    with pytest.raises(OSError, match='no-such.png'):
        list(model.generate('What is this?', images=['no-such.png'], stream=True))


def test_a_prompt_over_the_context_is_refused_and_the_model_goes_on():
    with qwen3_5.load_model('qwren-nano', n_ctx=64) as model:
        with pytest.raises(qwen3_5.QwenLimitError, match='64'):
            model.generate('one two three ' * 200, thinking=False)
        assert isinstance(model.generate('What is 2 + 3?', thinking=False, max_tokens=5), str)


def test_a_closed_model_says_so():
    model = qwen3_5.load_model('qwren-nano')
    model.close()
    model.close()
    with pytest.raises(ValueError, match='closed'):
        model.generate('Hello')
    assert 'closed' in repr(model)
