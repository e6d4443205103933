/* The content of one message -> text with its placeholders for pictures and films. Private to src/text. */
#ifndef QW_TEXT_CONTENT_H
#define QW_TEXT_CONTENT_H

#include "text/prompt.h"

/* "Picture N: " counts over the whole conversation, films apart. */
typedef struct qw_media_counts {
    size_t images, videos;
} qw_media_counts;

typedef struct qw_content_rules {
    bool strict;
    bool add_vision_id;
    bool is_system; /* strict: pictures are refused */
    bool is_tool;   /* lenient: a result may be any JSON value */
    size_t message; /* index, for errors and media */
} qw_content_rules;

/* Renders `content` (string, parts, null or missing) into *out, which is cleared first. Not trimmed. */
qwren_status qw_content_render(qw_prompt *out, const qw_json *content, const qw_content_rules *rules, qw_media_counts *counts,
                               qwren_error *err);

/* Appends v as Python's str() prints a scalar (True, None, 1e+21), and as JSON when it is an array or object; all of it
 * untrusted. */
void qw_content_value(qw_prompt *out, const qw_json *v);

/* Python's name for the type of v, for the template's own errors. */
const char *qw_python_type(const qw_json *v);

#endif
