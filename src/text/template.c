/* Qwen 3.5's chat template in C: messages, tools and pictures -> the prompt's text, with the bytes that came from the request
 * marked. The first stop of a conversation on its way to the tokenizer. Strict mode is byte for byte the official template, its
 * errors included (tests/golden/test_template.c); lenient mode orders an unusual history into turns first
 * (tests/unit/test_template.c). */
#include "text/template.h"

#include "base/alloc.h"
#include "text/calls.h"
#include "text/content.h"
#include "text/prompt.h"
#include "text/template_words.h"

#include <string.h>

typedef enum turn_role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE_OTHER } turn_role;

/* One turn of the prompt: a message, and the late system messages that are read out before it (indices folds[first .. first +
 * n)). A message of SIZE_MAX stands for a user's turn made of such messages alone. */
typedef struct turn {
    turn_role role;
    size_t message;
    size_t first_fold, n_folds;
} turn;

typedef struct renderer {
    const qw_template_input *in;
    qw_prompt *out;
    qw_prompt content; /* of the message at hand */
    size_t begin, end; /* content trimmed: bytes [begin, end) */
    qw_media_counts counts;
    turn *turns;
    size_t n_turns;
    size_t *folds; /* message indices of late system messages */
    size_t n_folds;
    size_t n_leading;   /* system messages before everything else */
    size_t first_after; /* turns from here on come after the last query */
} renderer;

/* ---------------------------------------------------------------------------------------------- roles and turns */

static turn_role role_of(const qw_json *message, bool strict)
{
    const char *s = qw_json_string(qw_json_get(message, "role"), NULL);
    if (!s)
        return ROLE_OTHER;
    if (strcmp(s, "system") == 0 || (!strict && strcmp(s, "developer") == 0))
        return ROLE_SYSTEM;
    if (strcmp(s, "user") == 0)
        return ROLE_USER;
    if (strcmp(s, "assistant") == 0)
        return ROLE_ASSISTANT;
    if (strcmp(s, "tool") == 0 || (!strict && strcmp(s, "function") == 0))
        return ROLE_TOOL;
    return ROLE_OTHER;
}

static const qw_json *message_at(const renderer *r, size_t i) { return qw_json_at(r->in->messages, i); }
static turn_role role_at(const renderer *r, size_t i) { return role_of(message_at(r, i), r->in->strict); }

static void add_turn(renderer *r, turn_role role, size_t message, size_t first_fold)
{
    r->turns[r->n_turns++] = (turn){ role, message, first_fold, r->n_folds - first_fold };
}

static qwren_status unknown_role(const renderer *r, size_t i, qwren_error *err)
{
    const qw_json *message = message_at(r, i);
    const char *s = qw_json_string(qw_json_get(message, "role"), NULL);
    if (!qw_json_is(message, QW_JSON_OBJECT))
        return qw_fail(err, QWREN_E_TEMPLATE, "messages[%zu]: must be an object with \"role\" and \"content\"", i);
    if (!s)
        return qw_fail(err, QWREN_E_TEMPLATE, "messages[%zu]: the role is missing; known are system, developer, user, assistant and tool",
                       i);
    return qw_fail(err, QWREN_E_TEMPLATE, "messages[%zu]: unknown role \"%.40s\"; known are system, developer, user, assistant and tool", i,
                   s);
}

/* Strict: one turn per message, and only message 0 may be a system message; what breaks this is found later, in the template's
 * order. Lenient: leading system messages become one block, later ones are read out at the head of the next user's turn. */
static qwren_status order_turns(renderer *r, qwren_error *err)
{
    size_t n = qw_json_size(r->in->messages), pending = 0;
    bool strict = r->in->strict;
    r->turns = qw_alloc_array(n + 1, sizeof *r->turns);
    r->folds = qw_alloc_array(n + 1, sizeof *r->folds);
    if (!r->turns || !r->folds)
        return qw_fail_memory(err, n * sizeof *r->turns, "turns");
    while (r->n_leading < (strict ? 1 : n) && role_at(r, r->n_leading) == ROLE_SYSTEM)
        r->n_leading++;
    for (size_t i = r->n_leading; i < n; i++) {
        turn_role role = role_at(r, i);
        if (i >= r->in->skip_begin && i < r->in->skip_end)
            continue;
        if (role == ROLE_OTHER && !strict)
            return unknown_role(r, i, err);
        if (role == ROLE_SYSTEM && !strict) {
            r->folds[r->n_folds++] = i;
            continue;
        }
        add_turn(r, role, i, role == ROLE_USER ? pending : r->n_folds);
        if (role == ROLE_USER)
            pending = r->n_folds;
    }
    if (pending < r->n_folds)
        add_turn(r, ROLE_USER, SIZE_MAX, pending);
    return QWREN_OK;
}

/* ----------------------------------------------------------------------------------------------------- contents */

/* The message's content into r->content, trimmed by [begin, end). */
static qwren_status render_message(renderer *r, size_t message, qw_media_counts *counts, qwren_error *err)
{
    turn_role role = role_at(r, message);
    qw_content_rules rules = { .strict = r->in->strict,
                               .add_vision_id = r->in->add_vision_id,
                               .is_system = role == ROLE_SYSTEM && message == 0,
                               .is_tool = role == ROLE_TOOL,
                               .message = message };
    QW_TRY(qw_content_render(&r->content, qw_json_get(message_at(r, message), "content"), &rules, counts, err));
    r->begin = 0;
    r->end = r->content.text.len;
    qw_trim(qw_buf_text(&r->content.text), &r->begin, &r->end);
    return QWREN_OK;
}

static void append_content(renderer *r) { qw_prompt_append(r->out, &r->content, r->begin, r->end); }

/* Several messages as one text: trimmed, the empty ones left out, a blank line between them. `written` says whether text stands
 * before. */
static qwren_status append_joined(renderer *r, size_t message, bool *written, qwren_error *err)
{
    QW_TRY(render_message(r, message, &r->counts, err));
    if (r->begin == r->end)
        return QWREN_OK;
    if (*written)
        qw_prompt_trusted(r->out, "\n\n");
    append_content(r);
    *written = true;
    return QWREN_OK;
}

/* ------------------------------------------------------------------------------------------------- system block */

static qwren_status write_system(renderer *r, qwren_error *err)
{
    const qw_json *tools = qw_json_is(r->in->tools, QW_JSON_ARRAY) ? r->in->tools : NULL;
    size_t n_tools = qw_json_size(tools);
    bool written = n_tools > 0;
    if (!n_tools && !r->n_leading)
        return QWREN_OK;
    qw_prompt_begin_turn(r->out, "<|im_start|>system\n", r->n_leading ? 0 : SIZE_MAX, r->n_leading ? r->n_leading - 1 : SIZE_MAX);
    qw_prompt_mark_turn(r->out, true, false);
    if (n_tools)
        qw_prompt_trusted(r->out, tools_before);
    for (size_t i = 0; i < n_tools; i++) {
        qw_prompt_trusted(r->out, "\n");
        size_t begin = r->out->text.len;
        qw_json_dump(&r->out->text, qw_json_at(tools, i));
        qw_prompt_mark_untrusted(r->out, begin);
    }
    if (n_tools)
        qw_prompt_trusted(r->out, tools_after);
    for (size_t i = 0; i < r->n_leading; i++)
        QW_TRY(append_joined(r, i, &written, err));
    qw_prompt_trusted(r->out, "<|im_end|>\n");
    return QWREN_OK;
}

/* --------------------------------------------------------------------------------------------------- last query */

static bool begins_with(const char *s, size_t n, const char *word)
{
    size_t k = strlen(word);
    return n >= k && memcmp(s, word, k) == 0;
}

static bool ends_with(const char *s, size_t n, const char *word)
{
    size_t k = strlen(word);
    return n >= k && memcmp(s + n - k, word, k) == 0;
}

/* Agents that know no tool role send results as a user's message. */
static bool is_wrapped_result(const renderer *r)
{
    const char *s = qw_buf_text(&r->content.text) + r->begin;
    size_t n = r->end - r->begin;
    return begins_with(s, n, "<tool_response>") && ends_with(s, n, "</tool_response>");
}

/* Thoughts stay in the prompt only after the last thing a person asked. Without any question (lenient: a history whose
 * beginning was cut away) everything counts as after it. */
static qwren_status find_last_query(renderer *r, qwren_error *err)
{
    for (size_t i = r->n_turns; i-- > 0;) {
        qw_media_counts uncounted = r->counts;
        if (r->turns[i].role != ROLE_USER)
            continue;
        r->first_after = i + 1;
        if (r->turns[i].n_folds)
            return QWREN_OK;
        QW_TRY(render_message(r, r->turns[i].message, &uncounted, err));
        if (!is_wrapped_result(r))
            return QWREN_OK;
    }
    if (r->in->strict)
        return qw_fail(err, QWREN_E_TEMPLATE, "No user query found in messages.");
    r->first_after = 0;
    return QWREN_OK;
}

/* -------------------------------------------------------------------------------------------------------- turns */

static qwren_status write_user(renderer *r, const turn *t, qwren_error *err)
{
    bool written = false;
    size_t first = t->n_folds ? r->folds[t->first_fold] : t->message, last = t->message;
    if (last == SIZE_MAX)
        last = r->folds[t->first_fold + t->n_folds - 1];
    qw_prompt_begin_turn(r->out, "<|im_start|>user\n", first, last);
    for (size_t i = 0; i < t->n_folds; i++)
        QW_TRY(append_joined(r, r->folds[t->first_fold + i], &written, err));
    if (t->message != SIZE_MAX)
        QW_TRY(append_joined(r, t->message, &written, err));
    qw_prompt_mark_turn(r->out, false, t->n_folds || !is_wrapped_result(r));
    qw_prompt_trusted(r->out, "<|im_end|>\n");
    return QWREN_OK;
}

static const char *find(const char *s, size_t n, const char *word)
{
    size_t k = strlen(word);
    for (const char *end = s + n; (size_t)(end - s) >= k; s++) {
        s = memchr(s, word[0], (size_t)(end - s) - k + 1);
        if (!s)
            return NULL;
        if (memcmp(s, word, k) == 0)
            return s;
    }
    return NULL;
}

/* Offset just behind the last `word` in bytes [begin, end), or `begin` when there is none. */
static size_t behind_last(const char *s, size_t begin, size_t end, const char *word)
{
    size_t at = begin;
    for (const char *p; (p = find(s + at, end - at, word));)
        at = (size_t)(p - s) + strlen(word);
    return at;
}

/* A thought that stands in the content itself, as older clients send it: what is before the first </think> and behind the last
 * <think> of that is the thought [*begin, *end), what is behind the last </think> remains as content. False when there is none. */
static bool split_thought(renderer *r, size_t *begin, size_t *end)
{
    const char *s = qw_buf_text(&r->content.text);
    const char *close = find(s + r->begin, r->end - r->begin, "</think>");
    if (!close)
        return false;
    *end = (size_t)(close - s);
    while (*end > r->begin && s[*end - 1] == '\n')
        --*end;
    *begin = behind_last(s, r->begin, *end, "<think>");
    r->begin = behind_last(s, r->begin, r->end, "</think>");
    while (r->begin < r->end && s[r->begin] == '\n')
        r->begin++;
    qw_trim(s, begin, end);
    return true;
}

/* The thought's own member; lenient: under any of the names that engines give it. */
static const char *thought_member(const qw_json *message, bool strict, size_t *len)
{
    const char *s = qw_json_string(qw_json_get(message, "reasoning_content"), len);
    if (!s && !strict)
        s = qw_json_string(qw_json_get(message, "reasoning"), len);
    if (!s && !strict)
        s = qw_json_string(qw_json_get(message, "thinking"), len);
    return s;
}

/* The block that stands before the content after the last query, written even when the thought is blank. `inside`: the thought is
 * bytes [begin, end) of the content. */
static void write_thought(renderer *r, const char *member, size_t len, bool inside, size_t begin, size_t end, qw_answer_place *place)
{
    qw_prompt_trusted(r->out, "<think>\n");
    place->thought = r->out->text.len;
    if (member) {
        size_t from = 0;
        qw_trim(member, &from, &len);
        qw_prompt_untrusted(r->out, member + from, len - from);
    } else if (inside) {
        qw_prompt_append(r->out, &r->content, begin, end);
    }
    place->thought_end = r->out->text.len;
    qw_prompt_trusted(r->out, "\n</think>\n\n");
}

static qwren_status write_assistant(renderer *r, const turn *t, bool after_query, qwren_error *err)
{
    const qw_json *message = message_at(r, t->message);
    qw_answer_place place = { .message = t->message };
    size_t begin = 0, end = 0, n = 0;
    QW_TRY(render_message(r, t->message, &r->counts, err));
    const char *member = thought_member(message, r->in->strict, &n);
    bool inside = !member && split_thought(r, &begin, &end);
    qw_prompt_begin_turn(r->out, "<|im_start|>assistant\n", t->message, t->message);
    place.begin = place.thought = place.thought_end = r->out->text.len;
    if (after_query)
        write_thought(r, member, n, inside, begin, end, &place);
    place.content = r->out->text.len;
    append_content(r);
    place.content_end = r->out->text.len;
    qw_trim(qw_buf_text(&r->content.text), &r->begin, &r->end); /* a blank remainder counts as no content */
    QW_TRY(qw_calls_render(r->out, message, r->begin < r->end, r->in->strict, t->message, err));
    place.end = r->out->text.len;
    qw_prompt_note_answer(r->out, place);
    qw_prompt_trusted(r->out, "<|im_end|>\n");
    return QWREN_OK;
}

/* Results in a row share one user's turn. The template opens none when a result is the very first message; leniently there is
 * always one. */
static qwren_status write_tool(renderer *r, size_t i, qwren_error *err)
{
    const turn *t = &r->turns[i];
    bool first = i == 0 || r->turns[i - 1].role != ROLE_TOOL;
    bool last = i + 1 == r->n_turns || r->turns[i + 1].role != ROLE_TOOL;
    bool orphan = i == 0 && r->n_leading == 0;
    QW_TRY(render_message(r, t->message, &r->counts, err));
    if (first)
        qw_prompt_begin_turn(r->out, orphan && r->in->strict ? "\n" : "<|im_start|>user\n", t->message, t->message);
    else
        qw_prompt_extend_turn(r->out, t->message);
    qw_prompt_trusted(r->out, first ? "<tool_response>\n" : "\n<tool_response>\n");
    append_content(r);
    qw_prompt_trusted(r->out, "\n</tool_response>");
    if (last)
        qw_prompt_trusted(r->out, "<|im_end|>\n");
    return QWREN_OK;
}

/* Strict mode's last errors; the template renders the content before it looks at the role. */
static qwren_status refuse_turn(renderer *r, const turn *t, qwren_error *err)
{
    QW_TRY(render_message(r, t->message, &r->counts, err));
    if (t->role == ROLE_SYSTEM)
        return qw_fail(err, QWREN_E_TEMPLATE, "System message must be at the beginning.");
    return qw_fail(err, QWREN_E_TEMPLATE, "Unexpected message role.");
}

static qwren_status write_turn(renderer *r, size_t i, qwren_error *err)
{
    switch (r->turns[i].role) {
    case ROLE_USER: return write_user(r, &r->turns[i], err);
    case ROLE_ASSISTANT: return write_assistant(r, &r->turns[i], i >= r->first_after, err);
    case ROLE_TOOL: return write_tool(r, i, err);
    default: return refuse_turn(r, &r->turns[i], err);
    }
}

static void write_generation_prompt(renderer *r)
{
    bool thinking = r->in->thinking < 0 ? r->in->thinks_by_default : r->in->thinking != 0;
    r->out->think = r->out->text.len;
    if (!r->in->add_generation_prompt)
        return;
    qw_prompt_begin_turn(r->out, "<|im_start|>assistant\n", SIZE_MAX, SIZE_MAX);
    r->out->think = r->out->text.len;
    qw_prompt_trusted(r->out, thinking ? "<think>\n" : "<think>\n\n</think>\n\n");
    r->out->in_think = thinking;
}

static qwren_status render(renderer *r, qwren_error *err)
{
    QW_TRY(order_turns(r, err));
    QW_TRY(write_system(r, err));
    QW_TRY(find_last_query(r, err));
    for (size_t i = 0; i < r->n_turns; i++)
        QW_TRY(write_turn(r, i, err));
    write_generation_prompt(r);
    return qw_prompt_status(r->out, err);
}

qwren_status qw_template_render(qw_prompt *out, const qw_template_input *in, qwren_error *err)
{
    *out = (qw_prompt){ 0 };
    if (!qw_json_is(in->messages, QW_JSON_ARRAY) || !qw_json_size(in->messages))
        return qw_fail(err, QWREN_E_TEMPLATE, "No messages provided.");
    renderer r = { .in = in, .out = out };
    qwren_status st = render(&r, err);
    qw_prompt_deinit(&r.content);
    qw_free(r.turns);
    qw_free(r.folds);
    return st;
}
