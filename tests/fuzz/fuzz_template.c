/* The chat template under any JSON: a request's text, rendered strictly and leniently. What comes out is a prompt whose spans
 * and media are in order, or an error with a sentence; outside the untrusted bytes there is nothing but the template's own
 * words. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++)
        n++;
    return n;
}

static void check_prompt(qw_prompt *p)
{
    const qw_buf *text = &p->text;
    for (size_t i = 0; i < p->n_media; i++) {
        const char *pad = p->media[i].kind == QW_MEDIA_IMAGE ? "<|image_pad|>" : "<|video_pad|>";
        check(i == 0 || p->media[i].offset > p->media[i - 1].offset);
        check(p->media[i].offset + strlen(pad) <= text->len && memcmp(text->data + p->media[i].offset, pad, strlen(pad)) == 0);
    }
    for (size_t i = 0; i < p->n_untrusted; i++) {
        qw_span s = p->untrusted[i];
        check(s.begin < s.end && s.end <= text->len && (i == 0 || s.begin > p->untrusted[i - 1].end));
        memset(text->data + s.begin, '.', s.end - s.begin);
    }
    check(strlen(qw_buf_text(text)) == text->len); /* a NUL can only come from the request */
    check(count(qw_buf_text(text), "_pad|>") == p->n_media);
    check(!strstr(qw_buf_text(text), "forged"));
}

static void render(const qw_json *root, bool strict)
{
    qw_prompt p;
    qwren_error err = { QWREN_OK, "" };
    qw_template_input in = {
        .messages = qw_json_get(root, "messages"),
        .tools = qw_json_get(root, "tools"),
        .strict = strict,
        .thinking = -1,
        .add_generation_prompt = !qw_json_get(root, "done"),
        .add_vision_id = qw_json_get(root, "ids") != NULL,
    };
    qwren_status st = qw_template_render(&p, &in, &err);
    check(st == QWREN_OK || (st == QWREN_E_TEMPLATE && err.text[0]));
    if (st == QWREN_OK)
        check_prompt(&p);
    qw_prompt_deinit(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qw_json *root = NULL;
    qw_template_detect((const char *)data, size);
    if (qw_json_parse(&root, (const char *)data, size, "fuzz", NULL) != QWREN_OK)
        return 0;
    render(root, true);
    render(root, false);
    qw_json_free(root);
    return 0;
}
