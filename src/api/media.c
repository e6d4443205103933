/* URLs of pictures -> pixels. The library opens no connection and no file by itself: data: URLs carry their bytes, other URLs are the
 * program's business (qwren_chat_options.load_image). Tested by tests/unit/test_chat.c. */
#include "api/media.h"

#include "base/alloc.h"
#include "base/base64.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* data:image/<kind>[;name=value]...;base64,<data> (RFC 2397). Which kind it is, the bytes say. Percent-encoded bodies are not used for
 * pictures by any client. */
static qwren_status decode_data_url(qwren_image **out, const char *url, size_t index, qwren_error *err)
{
    char where[48];
    qwren_error why = { 0 };
    snprintf(where, sizeof where, "image %zu: data: URL", index);
    const char *comma = strchr(url, ',');
    if (strncasecmp(url, "data:image/", 11) != 0 || !comma || comma - url < 18 || strncasecmp(comma - 7, ";base64", 7) != 0)
        return qw_fail(err, QWREN_E_FORMAT, "%s: expected data:image/...;base64,...", where);
    uint8_t *bytes = NULL;
    size_t n = 0;
    QW_TRY(qw_base64_decode(comma + 1, strlen(comma + 1), where, &bytes, &n, err));
    qwren_status st = qwren_image_decode(out, bytes, n, NULL, &why);
    qw_free(bytes);
    return st ? qw_fail(err, st, "%s: %s", where, why.text) : QWREN_OK;
}

qwren_status qw_media_load(qwren_image **out, const char *url, size_t index, qwren_image_loader load, void *load_ctx, qwren_error *err)
{
    *out = NULL;
    if (strncasecmp(url, "data:", 5) == 0)
        return decode_data_url(out, url, index, err);
    if (!load)
        return qw_fail(err, QWREN_E_ARGUMENT, "image %zu: %.100s: only data: URLs are accepted here; set load_image to open others", index,
                       url);
    qwren_status st = load(load_ctx, url, out, err);
    if (st == QWREN_OK && !*out)
        return qw_fail(err, QWREN_E_INTERNAL, "image %zu: %.100s: load_image said success without an image", index, url);
    return st;
}
