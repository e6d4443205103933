"""The library's statuses as exceptions. Each is a QwenError and the built-in exception that a caller would expect."""


class QwenError(Exception):
    """What libqwren could not do; str() is its sentence, `status` the name of its code ("E_FORMAT")."""

    status = 'E_UNKNOWN'


class QwenArgumentError(QwenError, ValueError):
    status = 'E_ARGUMENT'


class QwenIOError(QwenError, OSError):
    status = 'E_IO'


class QwenFormatError(QwenError, ValueError):
    status = 'E_FORMAT'


class QwenUnsupportedError(QwenError, NotImplementedError):
    status = 'E_UNSUPPORTED'


class QwenMemoryError(QwenError, MemoryError):
    status = 'E_MEMORY'


class QwenLimitError(QwenError, ValueError):
    status = 'E_LIMIT'


class QwenTemplateError(QwenError, ValueError):
    status = 'E_TEMPLATE'


class QwenCancelled(QwenError):
    status = 'E_CANCELLED'


class QwenInternalError(QwenError, RuntimeError):
    status = 'E_INTERNAL'


BY_STATUS = {kind.status: kind for kind in (QwenArgumentError, QwenIOError, QwenFormatError, QwenUnsupportedError, QwenMemoryError, QwenLimitError,
                                            QwenTemplateError, QwenCancelled, QwenInternalError)}
