/* A prompt under construction: text that knows which of its bytes came from the request. Private to src/text. Failure is
 * sticky, as in qw_buf: append freely, then ask qw_prompt_status() once. */
#ifndef QW_TEXT_PROMPT_H
#define QW_TEXT_PROMPT_H

#include "text/template.h"

void qw_prompt_clear(qw_prompt *p);                              /* empty again, memory kept */
void qw_prompt_trusted(qw_prompt *p, const char *s);             /* the template's own words */
void qw_prompt_untrusted(qw_prompt *p, const char *s, size_t n); /* the request's words */
void qw_prompt_mark_untrusted(qw_prompt *p, size_t begin);       /* everything from `begin` to the end came from the request */
void qw_prompt_number(qw_prompt *p, size_t n);                   /* decimal, trusted */
/* Notes a picture or film whose pad token is about to be written. */
void qw_prompt_note_media(qw_prompt *p, qw_media_kind kind, const qw_json *part, const char *url, size_t message);
/* Bytes [begin, end) of src with what is known about them; src != dst. A placeholder is either inside the range or outside it. */
void qw_prompt_append(qw_prompt *dst, const qw_prompt *src, size_t begin, size_t end);
/* Begins a turn that holds the messages first to last (SIZE_MAX: none), with its own words: "<|im_start|>ROLE\n". */
void qw_prompt_begin_turn(qw_prompt *p, const char *words, size_t first, size_t last);
/* It holds one more. */
void qw_prompt_extend_turn(qw_prompt *p, size_t last);
/* What the newest turn is. */
void qw_prompt_mark_turn(qw_prompt *p, bool is_system, bool is_query);
void qw_prompt_note_answer(qw_prompt *p, qw_answer_place place);
qwren_status qw_prompt_status(const qw_prompt *p, qwren_error *err);

#endif
