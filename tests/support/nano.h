/* The bundled model, and a tiny one, in tests: opening it, asking it, recording what an answer sends. Requests are written with ' for ". */
#ifndef QW_TESTS_NANO_H
#define QW_TESTS_NANO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "qwren.h"

#define NANO QW_MODELS "/qwren-nano"
#define TINY QW_TEST_DATA "/text/tiny-c/hf" /* text alone, random weights: fast where the words do not matter */
#define PICTURE QW_MODELS "/demo/shapes.png"

/* Each fails the test with the library's sentence. No session finds what another one has computed, but for those opened with a cache. */
qwren_model *model_open(const char *path, int n_threads, qwren_arithmetic arithmetic);
qwren_model *model_open_cached(const char *path, int n_threads, qwren_arithmetic arithmetic);
qwren_model *nano_open(int n_threads);
qwren_model *nano_open_cached(int n_threads);
qwren_model *nano_open_exact(int n_threads); /* activations in float */
qwren_model *tiny_open(int n_threads);
qwren_session *nano_session(const qwren_model *m, size_t n_ctx); /* n_ctx 0 = the default */
qwren_result *nano_ask(qwren_session *s, const qwren_chat_options *opt, const char *request);

/* The request must fail with this status, and with a sentence that holds `word`. */
void nano_refuses(qwren_session *s, const qwren_chat_options *opt, const char *request, qwren_status status, const char *word);

/* printf, then ' becomes ". Give back with qw_free(). */
char *nano_text(const char *fmt, ...) QW_PRINTF(1, 2);
/* A PNG or JPEG file as a data: URL. Give back with qw_free(). */
char *nano_data_url(const char *path);

/* Greedy, no events. */
qwren_chat_options nano_greedy(void);

/* What the events of one answer said. `stop_at` > 0: the stop_at-th event of kind stop_kind is answered with false. */
typedef struct nano_events {
    qw_buf reasoning, content;
    size_t n_reasoning, n_content, n_calls, n_prefill;
    size_t prefill_done, prefill_total;
    qw_buf last_call; /* "name arguments" */
    qwren_event_kind stop_kind;
    size_t stop_at;
    size_t after_stop; /* events that came although one was refused */
} nano_events;
bool nano_record(void *ctx, const qwren_event *event); /* ctx: nano_events */
void nano_events_free(nano_events *e);
/* The events' texts joined are the result's. */
void nano_events_match(const nano_events *e, const qwren_result *r);

#endif
