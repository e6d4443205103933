/* Conversation -> prompt: Qwen 3.5's chat template, written out in C (docs: the official chat_template.jinja travels with every
 * checkpoint). `strict` gives that template's bytes and errors; otherwise every history that has a meaning is rendered. */
#ifndef QW_TEXT_TEMPLATE_H
#define QW_TEXT_TEMPLATE_H

#include "base/json.h"
#include "tokenizer/tokenizer.h" /* qw_span */

/* What a checkpoint's own template says. The published ones differ in one line: whether a request that does not say so is
 * thought about. */
typedef struct qw_template_kind {
    bool thinks_by_default; /* 4B, 9B: true; 0.8B, 2B: false */
    bool present;           /* there is a text */
    bool known;             /* the text is one of the published templates, byte for byte */
} qw_template_kind;

/* Reads the kind off a chat_template.jinja; `text` may be NULL (no template: not thinking, unknown). An unknown template gets
 * the nearest kind, and a notice to the log. */
qw_template_kind qw_template_detect(const char *text, size_t len);

typedef struct qw_template_input {
    const qw_json *messages; /* array; borrowed, and must outlive the prompt's media */
    const qw_json *tools;    /* array or NULL; in strict mode any other kind counts as none, as in the template */
    bool strict;
    bool thinks_by_default;
    int thinking; /* 1, 0; -1 = the default */
    bool add_generation_prompt;
    bool add_vision_id;          /* "Picture N: " before each picture */
    size_t skip_begin, skip_end; /* messages [begin, end), behind the leading system messages, are left out as if they were not there */
} qw_template_input;

typedef enum qw_media_kind { QW_MEDIA_IMAGE, QW_MEDIA_VIDEO } qw_media_kind;

/* One picture or film, in the order of the prompt. */
typedef struct qw_media {
    qw_media_kind kind;
    const char *url;     /* what the part names: a URL, a path, a data: URL; NULL when the part names nothing */
    const qw_json *part; /* the whole part of the request */
    size_t message;      /* index in messages */
    size_t offset;       /* where its <|image_pad|> or <|video_pad|> begins in the text */
} qw_media;

/* A turn as it stands in the text. */
typedef struct qw_turn_place {
    size_t offset;      /* of its <|im_start|> (strict: of a first tool's result, which has none) */
    size_t body;        /* behind "<|im_start|>ROLE\n" */
    size_t first, last; /* the messages in it; both SIZE_MAX when there are none: tools alone, or the generation prompt */
    bool is_system;
    bool is_query; /* something that a person asked, no tool's result */
} qw_turn_place;

/* An assistant's message as it stands in the text: "<|im_start|>assistant\n" [<think> block] content calls "<|im_end|>". All are offsets. */
typedef struct qw_answer_place {
    size_t message, turn;        /* which one, and in which of the turns it stands */
    size_t begin;                /* behind "assistant\n"; here begins the block, if the template writes one */
    size_t thought, thought_end; /* the thought itself, trimmed; empty where no block is written */
    size_t content, content_end; /* blanks may be left at its ends; begin < content: there is a block */
    size_t end;                  /* before <|im_end|>; between content_end and here are the calls */
} qw_answer_place;

typedef struct qw_prompt {
    qw_buf text;
    qw_span *untrusted; /* ascending, disjoint, not empty: bytes that came from the request. Special tokens spelled there are only text. */
    size_t n_untrusted, cap_untrusted;
    qw_media *media;
    size_t n_media, cap_media;
    qw_turn_place *turns; /* all of them, in order, the generation prompt included */
    size_t n_turns, cap_turns;
    qw_answer_place *answers; /* in order */
    size_t n_answers, cap_answers;
    size_t
        think; /* the generation prompt's <think> begins here: what a later request shares, which drops this answer's thought; the end when there is none */
    bool in_think; /* the text ends inside an open <think> block: where the output's parser begins */
} qw_prompt;

/* Fills *out, which needs no initialisation; qw_prompt_deinit() gives it back, and is allowed after a failure. A conversation
 * that cannot be rendered is QWREN_E_TEMPLATE: in strict mode with the template's own sentence, otherwise naming the message
 * and the part. */
qwren_status qw_template_render(qw_prompt *out, const qw_template_input *in, qwren_error *err);
void qw_prompt_deinit(qw_prompt *p);

/* What the template trims: Python's str.strip() on bytes [*begin, *end) of valid UTF-8. */
void qw_trim(const char *s, size_t *begin, size_t *end);

#endif
