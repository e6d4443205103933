/* Message contents: strings, part lists, and what clients send in their place. Between a message of the request and template.c,
 * which trims and frames what is made here. Tested by tests/golden/test_template.c and tests/unit/test_template.c. */
#include "text/content.h"

#include <string.h>

typedef enum part_kind { PART_UNKNOWN, PART_IMAGE, PART_VIDEO, PART_TEXT } part_kind;

static bool is_text(const qw_json *v, const char *const *words)
{
    const char *s = qw_json_string(v, NULL);
    for (; s && *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

/* Python's `key in v` for the values JSON has; *able is false where Python raises a TypeError. */
static bool contains(const qw_json *v, const char *key, bool *able)
{
    *able = true;
    switch (qw_json_kind_of(v)) {
    case QW_JSON_OBJECT: return qw_json_get(v, key) != NULL;
    case QW_JSON_STRING: {
        size_t n = 0, k = strlen(key);
        const char *s = qw_json_string(v, &n);
        for (size_t i = 0; i + k <= n; i++)
            if (memcmp(s + i, key, k) == 0)
                return true;
        return false;
    }
    case QW_JSON_ARRAY:
        for (size_t i = 0; i < qw_json_size(v); i++) {
            const char *s = qw_json_string(qw_json_at(v, i), NULL);
            if (s && strcmp(s, key) == 0)
                return true;
        }
        return false;
    default: *able = false; return false;
    }
}

const char *qw_python_type(const qw_json *v)
{
    switch (qw_json_kind_of(v)) {
    case QW_JSON_BOOL: return "bool";
    case QW_JSON_INT: return "int";
    case QW_JSON_REAL: return "float";
    case QW_JSON_STRING: return "str";
    case QW_JSON_ARRAY: return "list";
    case QW_JSON_OBJECT: return "dict";
    default: return "NoneType";
    }
}

/* The template's own tests, in its order. */
static qwren_status classify_strictly(const qw_json *part, part_kind *kind, qwren_error *err)
{
    static const char *const image[] = { "image", NULL }, *const video[] = { "video", NULL };
    const qw_json *type = qw_json_get(part, "type");
    bool able;
    bool has_image = contains(part, "image", &able);
    if (!able)
        return qw_fail(err, QWREN_E_TEMPLATE, "TypeError: argument of type '%s' is not iterable", qw_python_type(part));
    if (has_image || contains(part, "image_url", &able) || is_text(type, image))
        *kind = PART_IMAGE;
    else if (contains(part, "video", &able) || is_text(type, video))
        *kind = PART_VIDEO;
    else if (contains(part, "text", &able))
        *kind = PART_TEXT;
    else
        return qw_fail(err, QWREN_E_TEMPLATE, "Unexpected item type in content.");
    return QWREN_OK;
}

static bool has(const qw_json *part, const char *key) { return qw_json_kind_of(qw_json_get(part, key)) != QW_JSON_NULL; }

/* Every name that clients use for the same three things. */
static part_kind classify_leniently(const qw_json *part)
{
    static const char *const image[] = { "image", "image_url", "input_image", NULL };
    static const char *const video[] = { "video", "video_url", "input_video", NULL };
    static const char *const text[] = { "text", "input_text", "output_text", "refusal", NULL };
    const qw_json *type = qw_json_get(part, "type");
    if (qw_json_is(part, QW_JSON_STRING))
        return PART_TEXT;
    if (has(part, "image") || has(part, "image_url") || is_text(type, image))
        return PART_IMAGE;
    if (has(part, "video") || has(part, "video_url") || is_text(type, video))
        return PART_VIDEO;
    if (qw_json_get(part, "text") || is_text(type, text))
        return PART_TEXT;
    return PART_UNKNOWN;
}

/* The first of the part's members that names something: a string, or an object with a url. */
static const char *part_url(const qw_json *part, const char *const *keys)
{
    for (; *keys; keys++) {
        const qw_json *v = qw_json_get(part, *keys);
        size_t n = 0;
        const char *s = qw_json_string(qw_json_is(v, QW_JSON_OBJECT) ? qw_json_get(v, "url") : v, &n);
        if (s && strlen(s) == n)
            return s;
    }
    return NULL;
}

static void write_media(qw_prompt *out, part_kind kind, const qw_json *part, const qw_content_rules *rules, qw_media_counts *counts)
{
    static const char *const image_keys[] = { "image_url", "image", "url", "path", NULL };
    static const char *const video_keys[] = { "video_url", "video", "url", "path", NULL };
    bool image = kind == PART_IMAGE;
    size_t n = image ? ++counts->images : ++counts->videos;
    if (rules->add_vision_id) {
        qw_prompt_trusted(out, image ? "Picture " : "Video ");
        qw_prompt_number(out, n);
        qw_prompt_trusted(out, ": ");
    }
    qw_prompt_trusted(out, "<|vision_start|>");
    qw_prompt_note_media(out, image ? QW_MEDIA_IMAGE : QW_MEDIA_VIDEO, part, part_url(part, image ? image_keys : video_keys),
                         rules->message);
    qw_prompt_trusted(out, image ? "<|image_pad|>" : "<|video_pad|>");
    qw_prompt_trusted(out, "<|vision_end|>");
}

void qw_content_value(qw_prompt *out, const qw_json *v)
{
    size_t begin = out->text.len, n = 0;
    const char *s = qw_json_string(v, &n);
    if (s)
        qw_buf_append(&out->text, s, n);
    else if (qw_json_is(v, QW_JSON_BOOL))
        qw_buf_puts(&out->text, qw_json_bool(v, false) ? "True" : "False");
    else if (qw_json_kind_of(v) == QW_JSON_NULL)
        qw_buf_puts(&out->text, "None");
    else
        qw_json_dump(&out->text, v);
    qw_prompt_mark_untrusted(out, begin);
}

static void write_text_strictly(qw_prompt *out, const qw_json *part)
{
    const qw_json *text = qw_json_get(part, "text");
    if (text) /* a bare string in the list has no .text, and the template writes nothing for it */
        qw_content_value(out, text);
}

static void write_text_leniently(qw_prompt *out, const qw_json *part)
{
    size_t n = 0;
    const qw_json *text = qw_json_is(part, QW_JSON_STRING) ? part : qw_json_get(part, "text");
    if (!text)
        text = qw_json_get(part, "refusal");
    const char *s = qw_json_string(text, &n);
    if (s)
        qw_prompt_untrusted(out, s, n);
    else if (qw_json_kind_of(text) != QW_JSON_NULL)
        qw_content_value(out, text);
}

static qwren_status unknown_part(const qw_json *part, const qw_content_rules *rules, size_t i, qwren_error *err)
{
    const char *type = qw_json_string(qw_json_get(part, "type"), NULL);
    return qw_fail(err, QWREN_E_TEMPLATE, "messages[%zu].content[%zu]: %s%.40s%s; known are text, image_url and video_url", rules->message,
                   i, type ? "unknown part type \"" : "a part without a type", type ? type : "", type ? "\"" : "");
}

static qwren_status write_part(qw_prompt *out, const qw_json *part, size_t i, const qw_content_rules *rules, qw_media_counts *counts,
                               qwren_error *err)
{
    part_kind kind = PART_UNKNOWN;
    if (rules->strict)
        QW_TRY(classify_strictly(part, &kind, err));
    else
        kind = classify_leniently(part);
    if (kind == PART_UNKNOWN)
        return unknown_part(part, rules, i, err);
    if (kind == PART_TEXT) {
        if (rules->strict)
            write_text_strictly(out, part);
        else
            write_text_leniently(out, part);
        return QWREN_OK;
    }
    if (rules->strict && rules->is_system)
        return qw_fail(err, QWREN_E_TEMPLATE, "System message cannot contain %s.", kind == PART_IMAGE ? "images" : "videos");
    write_media(out, kind, part, rules, counts);
    return QWREN_OK;
}

/* Lenient mode only: an object or a scalar in place of a string or a list. */
static qwren_status write_other(qw_prompt *out, const qw_json *content, const qw_content_rules *rules, qw_media_counts *counts,
                                qwren_error *err)
{
    bool object = qw_json_is(content, QW_JSON_OBJECT);
    if (object && classify_leniently(content) != PART_UNKNOWN)
        return write_part(out, content, 0, rules, counts, err);
    if (object && !rules->is_tool)
        return qw_fail(err, QWREN_E_TEMPLATE, "messages[%zu].content: must be a string or a list of parts, not an object", rules->message);
    size_t begin = out->text.len;
    qw_json_dump(&out->text, content);
    qw_prompt_mark_untrusted(out, begin);
    return QWREN_OK;
}

/* A tool's result that is a list, but not a list of parts. */
static bool is_plain_list(const qw_json *content)
{
    for (size_t i = 0; i < qw_json_size(content); i++)
        if (classify_leniently(qw_json_at(content, i)) == PART_UNKNOWN || qw_json_is(qw_json_at(content, i), QW_JSON_STRING))
            return true;
    return false;
}

qwren_status qw_content_render(qw_prompt *out, const qw_json *content, const qw_content_rules *rules, qw_media_counts *counts,
                               qwren_error *err)
{
    size_t n = 0;
    qw_prompt_clear(out);
    const char *s = qw_json_string(content, &n);
    if (s) {
        qw_prompt_untrusted(out, s, n);
    } else if (qw_json_is(content, QW_JSON_ARRAY) && !(rules->is_tool && !rules->strict && is_plain_list(content))) {
        for (size_t i = 0; i < qw_json_size(content); i++)
            QW_TRY(write_part(out, qw_json_at(content, i), i, rules, counts, err));
    } else if (qw_json_kind_of(content) != QW_JSON_NULL) {
        if (rules->strict)
            return qw_fail(err, QWREN_E_TEMPLATE, "Unexpected content type.");
        QW_TRY(write_other(out, content, rules, counts, err));
    }
    return qw_prompt_status(out, err);
}
