"""Qwen 3.5 on your own device: a thin layer over libqwren.

    from qwen3_5 import load_model
    model = load_model('qwren-nano')
    print(model.generate(["Analyze this image..."], images=["shapes.png"], max_tokens=100))
"""
from ._errors import (QwenArgumentError, QwenCancelled, QwenError, QwenFormatError, QwenInternalError, QwenIOError, QwenLimitError,
                      QwenMemoryError, QwenTemplateError, QwenUnsupportedError)
from ._model import Answer, Model, Piece, Stream, load_model
from ._native import version

__version__ = version()

__all__ = ['load_model', 'Model', 'Answer', 'Piece', 'Stream', 'QwenError', 'QwenArgumentError', 'QwenCancelled', 'QwenFormatError', 'QwenInternalError',
           'QwenIOError', 'QwenLimitError', 'QwenMemoryError', 'QwenTemplateError', 'QwenUnsupportedError']
