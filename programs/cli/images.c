/* URLs of pictures -> pictures (images.h). data: URLs are the library's. No connection is ever opened. Tested by tests/cli/run.sh and
 * files.sh. */
#include "images.h"

#include "base/affix.h"
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OWN_SCHEME "qwren-image:" /* a path could look like any URL, a number cannot */

static qwren_status add(cli_images *images, cli_picture p, qwren_error *err)
{
    cli_picture *more = qw_realloc_array(images->list, images->n + 1, sizeof *more);
    if (!more)
        return qw_fail_memory(err, (images->n + 1) * sizeof *more, "the list of pictures");
    images->list = more;
    images->list[images->n++] = p;
    return QWREN_OK;
}

qwren_status cli_images_add_path(cli_images *images, const char *path, qwren_error *err)
{
    return add(images, (cli_picture){ .path = path }, err);
}

qwren_status cli_images_add_file(cli_images *images, const char *path, qwren_error *err)
{
    cli_picture p = { 0 };
    QW_TRY(qwren_image_open(&p.kept, path, NULL, err));
    qwren_status st = add(images, p, err);
    if (st != QWREN_OK)
        qwren_image_free(p.kept);
    return st;
}

void cli_images_truncate(cli_images *images, size_t n)
{
    while (images->n > n)
        qwren_image_free(images->list[--images->n].kept);
}

void cli_images_free(cli_images *images)
{
    cli_images_truncate(images, 0);
    qw_free(images->list);
    *images = (cli_images){ 0 };
}

void cli_images_url(qw_buf *out, size_t i) { qw_buf_printf(out, OWN_SCHEME "%zu", i); }

static qwren_status load_own(const cli_images *images, const char *url, qwren_image **out, qwren_error *err)
{
    const char *number = url + strlen(OWN_SCHEME);
    char *end = NULL;
    unsigned long i = strtoul(number, &end, 10);
    if (*number < '0' || *number > '9' || *end || i >= images->n)
        return qw_fail(err, QWREN_E_ARGUMENT, "%.100s: there is no such picture; give its path or a file: URL", url);
    const cli_picture *p = &images->list[i];
    if (p->path)
        return qwren_image_open(out, p->path, NULL, err);
    return qwren_image_from_rgb(out, qwren_image_pixels(p->kept), qwren_image_width(p->kept), qwren_image_height(p->kept), 0, err);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %20 and its like -> bytes. False for a broken escape and for %00, which no path can hold. */
static bool percent_decode(qw_buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s != '%') {
            qw_buf_putc(out, *s);
            continue;
        }
        int high = hex(s[1]), low = high < 0 ? -1 : hex(s[2]);
        if (low < 0 || high * 16 + low == 0)
            return false;
        qw_buf_putc(out, (char)(high * 16 + low));
        s += 2;
    }
    return true;
}

/* file:/path, file:///path, file://localhost/path */
static qwren_status load_file_url(const char *url, qwren_image **out, qwren_error *err)
{
    const char *path = url + strlen("file:");
    if (strncmp(path, "//", 2) == 0) {
        path += 2;
        if (strncasecmp(path, "localhost/", 10) == 0)
            path += strlen("localhost");
    }
    if (*path != '/')
        return qw_fail(err, QWREN_E_ARGUMENT, "%.200s: names another machine; a file: URL of this one begins with file:///", url);
    qw_buf decoded = QW_BUF_INIT;
    qwren_status st;
    if (!percent_decode(&decoded, path))
        st = qw_fail(err, QWREN_E_ARGUMENT, "%.200s: a %% in a file: URL is followed by two hexadecimal digits, not 00", url);
    else if ((st = qw_buf_status(&decoded, err)) == QWREN_OK)
        st = qwren_image_open(out, qw_buf_text(&decoded), NULL, err);
    qw_buf_free(&decoded);
    return st;
}

qwren_status cli_images_load(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    *out = NULL;
    if (qw_begins_with(url, OWN_SCHEME))
        return load_own(ctx, url, out, err);
    if (strncasecmp(url, "file:", 5) == 0)
        return load_file_url(url, out, err);
    if (strncasecmp(url, "http:", 5) == 0 || strncasecmp(url, "https:", 6) == 0)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%.200s: qwren opens no network connections; download the picture and give its path", url);
    if (strstr(url, "://"))
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%.200s: only paths, file: and data: URLs are understood", url);
    return qwren_image_open(out, url, NULL, err);
}
