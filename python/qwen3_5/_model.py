"""Models and answers: load_model(), Model.generate(), streams."""
import json
import math
import os
import queue
import re
import threading
import weakref

from ._images import opener
from ._native import bundled_model, check, ffi, lib, text

BUNDLED = ('qwren-nano',)
_PUBLISHED = re.compile(r'(qwen/)?qwen-?3[._]5-(0\.8b|2b|4b|9b|\w+)(-base)?', re.I)

#: options of generate() that go into the request as they are
SAMPLING = ('max_tokens', 'temperature', 'top_p', 'top_k', 'min_p', 'presence_penalty', 'frequency_penalty', 'repetition_penalty', 'seed', 'stop',
            'logit_bias')


def load_model(name_or_path, *, mmproj=None, n_threads=0, n_ctx=0):
    """Opens a model: 'qwren-nano', which is in the package, the directory of a checkpoint (Hugging Face, MLX), or a GGUF file.

    mmproj: of a GGUF model the file of the image tower, or 'none'; None = the one *mmproj*.gguf beside the model, if there is one. n_threads: 0 = the physical cores this process may use. n_ctx: room of a conversation in tokens; 0 = the smaller of the model's maximum and 32768.
    """
    path = os.fspath(name_or_path)
    if not os.path.exists(path):
        if path in BUNDLED:
            path = str(bundled_model(path))
        elif _PUBLISHED.fullmatch(path):
            raise ValueError(f'{path}: published models are not fetched by name; download the checkpoint and give the path of its directory to load_model()')
    return Model(path, mmproj=mmproj, n_threads=n_threads, n_ctx=n_ctx)


def _path_bytes(name, path):
    """A path for C, which would end at a zero byte."""
    data = os.fsencode(path)
    if b'\0' in data:
        raise ValueError(f'{name} {path!r} holds a zero byte; no file has such a name')
    return data


def _check_finite(name, value):
    """JSON has no number for nan and infinity: said here, where the option has its name."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_finite(f'{name}[{key!r}]', item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f'{name} is {value}; it must be a finite number')


class Answer(str):
    """The text of an answer, with what belongs to it."""

    reasoning: 'str | None'   #: the thought, when there was one
    tool_calls: list          #: calls in OpenAI's form
    finish_reason: str        #: 'stop', 'length', 'tool_calls', 'loop', 'cancelled'
    usage: dict               #: tokens of prompt and completion

    @classmethod
    def _of(cls, result):
        fields = json.loads(text(lib.qwren_result_json(result)))
        answer = cls(fields.get('content') or '')
        answer.reasoning = fields.get('reasoning_content')
        answer.tool_calls = fields.get('tool_calls') or []
        answer.finish_reason = fields.get('finish_reason')
        answer.usage = fields.get('usage') or {}
        return answer


class Piece(str):
    """A piece of a stream; `kind` is 'content' or 'reasoning'."""

    kind = 'content'


class Model:
    """A loaded checkpoint. Any number of threads may call generate() at once; each call has a session of its own while it runs."""

    def __init__(self, path, *, mmproj=None, n_threads=0, n_ctx=0):
        self._handle = ffi.NULL
        self._lock = threading.Lock()
        self._idle, self._busy = [], 0
        self._streams = {}  # thread -> event that stops it
        options = lib.qwren_model_options_default()
        options.n_threads = n_threads
        tower = ffi.NULL if mmproj is None else ffi.new('char[]', _path_bytes('mmproj', mmproj))  # alive until the model is open
        options.mmproj = tower
        self._n_ctx = n_ctx
        out, error = ffi.new('qwren_model **'), ffi.new('qwren_error *')
        check(lib.qwren_model_open(out, _path_bytes('the path', path), ffi.addressof(options), error), error)
        self._handle = out[0]
        self.path = path

    @property
    def info(self):
        """What the checkpoint is: names, layers, sizes, as in qwren_model_info."""
        pointer = lib.qwren_model_get_info(self._open_handle())
        fields = dict(ffi.typeof('qwren_model_info').fields)
        return {name: text(value) if field.type.kind == 'pointer' else value
                for name, field in fields.items() for value in [getattr(pointer, name)]}

    def generate(self, prompts, images=None, *, system=None, thinking=None, stream=False, reasoning=False, loop_guard=True, **sampling):
        """Answers a prompt (str -> Answer) or each of several (list -> list of Answers); see python/README.md for the options.

        With stream=True and a single prompt: a Stream, an iterator of pieces of text. reasoning=True puts the pieces of the thought into it as well.
        """
        unknown = set(sampling) - set(SAMPLING)
        if unknown:
            raise TypeError(f'generate() has no option {sorted(unknown)[0]!r}; it has ' + ', '.join(SAMPLING))
        for name, value in sampling.items():
            _check_finite(name, value)
        single = isinstance(prompts, str)
        texts = [prompts] if single else list(prompts)
        for prompt in texts:
            if not isinstance(prompt, str):
                raise TypeError(f'a prompt is a str, not {type(prompt).__name__}')
        jobs = [_Job(prompt, pictures, system, thinking, loop_guard, sampling) for prompt, pictures in zip(texts, _share(images, texts, single))]
        if stream:
            if len(jobs) != 1:
                raise ValueError(f'stream=True takes one prompt, not {len(jobs)}')
            return Stream(self, jobs[0], reasoning)
        answers = [self._run(job, None) for job in jobs]
        return answers[0] if single else answers

    def close(self):
        """Gives the memory back. Running streams are stopped first; a generate() that runs in another thread is an error."""
        for thread, stop in list(self._streams.items()):
            stop.set()
            thread.join()
        with self._lock:
            if self._busy:
                raise RuntimeError(f'{self._busy} generate() calls still run on this model')
            for session in self._idle:
                lib.qwren_session_free(session)
            self._idle.clear()
            handle, self._handle = self._handle, ffi.NULL
        lib.qwren_model_close(handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, '_handle', ffi.NULL) != ffi.NULL:
            self.close()

    def __repr__(self):
        return f'<qwen3_5.Model {self.path!r}{"" if self._handle != ffi.NULL else ", closed"}>'

    def _open_handle(self):
        if self._handle == ffi.NULL:
            raise ValueError('this model is closed')
        return self._handle

    def _take_session(self):
        with self._lock:
            handle = self._open_handle()
            self._busy += 1
            if self._idle:
                return self._idle.pop()
        try:
            options = lib.qwren_session_options_default()
            options.n_ctx = self._n_ctx
            out, error = ffi.new('qwren_session **'), ffi.new('qwren_error *')
            check(lib.qwren_session_create(out, handle, ffi.addressof(options), error), error)
            return out[0]
        except BaseException:
            with self._lock:
                self._busy -= 1
            raise

    def _give_back(self, session):
        with self._lock:
            self._busy -= 1
            self._idle.append(session)

    def _run(self, job, on_piece):
        session = self._take_session()
        try:
            return job.run(session, on_piece)
        finally:
            self._give_back(session)


class Stream:
    """An answer as it grows: iterate for pieces of text. close(), leaving a `with`, or dropping it stops the model. `answer` is the whole, once it ended."""

    def __init__(self, model, job, reasoning):
        self.answer = None
        self._pieces, self._stop = queue.Queue(), threading.Event()
        self._thread = threading.Thread(target=_produce, args=(weakref.ref(self), model, job, reasoning, self._pieces, self._stop), daemon=True)
        model._streams[self._thread] = self._stop
        self._thread.start()

    def __iter__(self):
        return self

    def __next__(self):
        piece = self._pieces.get() if self._pieces is not None else None
        if isinstance(piece, Piece):
            return piece
        self._pieces = None
        self._thread.join()
        if isinstance(piece, BaseException):
            raise piece
        raise StopIteration

    def close(self):
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._pieces = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if hasattr(self, '_stop'):
            self._stop.set()


def _produce(stream_ref, model, job, reasoning, pieces, stop):
    """The thread of a stream. It holds the stream only weakly, so that a dropped stream stops its model."""

    def on_piece(kind, words):
        if stop.is_set():
            return False
        if kind == 'content' or reasoning:
            piece = Piece(words)
            piece.kind = kind
            pieces.put(piece)
        return True

    try:
        answer = model._run(job, on_piece)
        stream = stream_ref()
        if stream is not None:
            stream.answer = answer
        pieces.put(None)
    except BaseException as error:  # handed to the thread that iterates
        pieces.put(error)
    finally:
        model._streams.pop(threading.current_thread(), None)


class _Job:
    """One request, ready to run: the JSON text and the pictures that its URLs stand for."""

    URL = 'qwen3_5-image:'

    def __init__(self, prompt, images, system, thinking, loop_guard, sampling):
        self.loop_guard = loop_guard
        self.openers, parts = [], []
        for image in images:
            if isinstance(image, str) and image.startswith('data:'):
                url = image
            else:
                url = f'{self.URL}{len(self.openers)}'
                self.openers.append(opener(image))
            parts.append({'type': 'image_url', 'image_url': {'url': url}})
        messages = [] if system is None else [{'role': 'system', 'content': system}]
        messages.append({'role': 'user', 'content': parts + [{'type': 'text', 'text': prompt}] if parts else prompt})
        request = {'messages': messages, **{name: value for name, value in sampling.items() if value is not None}}
        if thinking is not None:
            request['chat_template_kwargs'] = {'enable_thinking': bool(thinking)}
        self.request = json.dumps(request, ensure_ascii=False).encode('utf-8')

    def run(self, session, on_piece):
        """Answers on a session. on_piece(kind, text) is called for each piece and stops the model by returning False."""
        raised = []

        def guarded(call, failed):
            def wrapper(*args):
                try:
                    return call(*args)
                except BaseException as error:  # must not cross the C frames; KeyboardInterrupt arrives here too
                    raised.append(error)
                    return failed
            return wrapper

        def on_event(_, event):
            if on_piece and event.kind in _KINDS:
                return on_piece(_KINDS[event.kind], bytes(ffi.buffer(event.text, event.len)).decode('utf-8'))
            return True

        def load_image(_, url, out, error):
            number = text(url)[len(self.URL):] if text(url).startswith(self.URL) else ''
            if not number.isdigit() or int(number) >= len(self.openers):
                raise ValueError(f'{text(url)}: a picture that was not given')
            return self.openers[int(number)](out, error)

        callbacks = (ffi.callback('qwren_event_fn', guarded(on_event, False)),
                     ffi.callback('qwren_image_loader', guarded(load_image, lib.QWREN_E_CANCELLED)))
        options = lib.qwren_chat_options_default()
        options.on_event, options.load_image = callbacks
        options.no_loop_guard = not self.loop_guard
        out, error = ffi.new('qwren_result **'), ffi.new('qwren_error *')
        status = lib.qwren_chat(session, self.request, ffi.addressof(options), out, error)
        try:
            if raised:
                raise raised[0]
            check(status, error)
            return Answer._of(out[0])
        finally:
            lib.qwren_result_free(out[0])


_KINDS = {lib.QWREN_EVENT_REASONING: 'reasoning', lib.QWREN_EVENT_CONTENT: 'content'}


def _share(images, prompts, single):
    """images= as given -> one list of pictures for each prompt."""
    if images is None:
        return [[] for _ in prompts]
    if single or len(prompts) == 1:
        if not isinstance(images, (list, tuple)):
            return [[images]]
        if len(images) == 1 and isinstance(images[0], (list, tuple)):
            return [list(images[0])]
        return [list(images)]
    if not isinstance(images, (list, tuple)) or len(images) != len(prompts):
        raise ValueError(f'{len(prompts)} prompts need images= with {len(prompts)} entries: for each an image, a list of images, or None')
    return [[] if entry is None else list(entry) if isinstance(entry, (list, tuple)) else [entry] for entry in images]
