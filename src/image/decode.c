/* Picture bytes -> RGB pixels: which format it is, whether the header keeps to the limits, the right reader, the EXIF orientation. The
 * first step of the room (image.h). Tested by tests/golden/test_image.c, test_image_decode.c and test_image_hostile.c. */
#include "image/codec.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

typedef struct signature {
    size_t at, n;
    const char *bytes;
} signature;

typedef struct codec {
    qw_image_kind kind;
    const char *name, *option; /* "PNG"; the build option that leaves the reader out */
    signature sign[2];
    qw_codec_size_fn size; /* NULL when this build has no reader */
    qw_codec_decode_fn decode;
} codec;

#if QW_HAVE_PNG
#  define PNG_READER .size = qw_png_size, .decode = qw_png_decode
#else
#  define PNG_READER .size = NULL
#endif
#if QW_HAVE_JPEG
#  define JPEG_READER .size = qw_jpeg_size, .decode = qw_jpeg_decode
#else
#  define JPEG_READER .size = NULL
#endif
#if QW_HAVE_WEBP
#  define WEBP_READER .size = qw_webp_size, .decode = qw_webp_decode
#else
#  define WEBP_READER .size = NULL
#endif

static const codec codecs[] = {
    { .kind = QW_IMAGE_PNG, .name = "PNG", .option = "QWREN_PNG", .sign = { { 0, 8, "\x89PNG\r\n\x1a\n" } }, PNG_READER },
    { .kind = QW_IMAGE_JPEG, .name = "JPEG", .option = "QWREN_JPEG", .sign = { { 0, 3, "\xff\xd8\xff" } }, JPEG_READER },
    { .kind = QW_IMAGE_WEBP, .name = "WebP", .option = "QWREN_WEBP", .sign = { { 0, 4, "RIFF" }, { 8, 4, "WEBP" } }, WEBP_READER },
};

/* Formats that are known by sight only, so that the message can name them. */
static const struct {
    const char *name;
    signature sign[2];
} foreign[] = {
    { "GIF", { { 0, 4, "GIF8" } } },
    { "TIFF", { { 0, 4, "II*\0" } } },
    { "TIFF", { { 0, 4, "MM\0*" } } },
    { "PDF", { { 0, 5, "%PDF-" } } },
    { "AVIF", { { 4, 7, "ftypavi" } } },
    { "HEIC", { { 4, 7, "ftyphei" } } },
    { "HEIC", { { 4, 7, "ftyphev" } } },
    { "HEIC", { { 4, 8, "ftypmif1" } } },
    { "HEIC", { { 4, 8, "ftypmsf1" } } },
    { "MP4", { { 4, 4, "ftyp" } } },
    { "WebM", { { 0, 4, "\x1a\x45\xdf\xa3" } } },
    { "JPEG XL", { { 0, 2, "\xff\x0a" } } },
    { "JPEG XL", { { 0, 8, "\0\0\0\x0cJXL " } } },
    { "JPEG 2000", { { 0, 8, "\0\0\0\x0cjP  " } } },
    { "JPEG 2000", { { 0, 4, "\xff\x4f\xff\x51" } } },
    { "ICO", { { 0, 4, "\0\0\1\0" } } },
    { "PSD", { { 0, 4, "8BPS" } } },
    { "OpenEXR", { { 0, 4, "\x76\x2f\x31\x01" } } },
    { "QOI", { { 0, 4, "qoif" } } },
    { "BMP", { { 0, 2, "BM" }, { 6, 4, "\0\0\0\0" } } },
};

static bool has_signature(const signature sign[2], const uint8_t *p, size_t n)
{
    for (int i = 0; i < 2; i++)
        if (sign[i].n && (n < sign[i].at + sign[i].n || memcmp(p + sign[i].at, sign[i].bytes, sign[i].n) != 0))
            return false;
    return true;
}

/* "SVG", "HTML", "PNM" or NULL: formats that begin as text do. */
static const char *text_format(const uint8_t *p, size_t n)
{
    size_t at = n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < n && memchr(" \t\r\n", p[at], 4))
        at++;
    const char *text = (const char *)p + at;
    n -= at;
    if (n >= 4 && (strncasecmp(text, "<svg", 4) == 0 || strncasecmp(text, "<?xm", 4) == 0))
        return "SVG";
    if (n >= 5 && (strncasecmp(text, "<html", 5) == 0 || strncasecmp(text, "<!doc", 5) == 0))
        return "HTML";
    if (at == 0 && n >= 3 && text[0] == 'P' && text[1] >= '1' && text[1] <= '7' && memchr(" \t\r\n", text[2], 4))
        return "PNM";
    return NULL;
}

static qwren_status fail_foreign(const uint8_t *p, size_t n, qwren_error *err)
{
    const char *name = text_format(p, n);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign && !name; i++)
        if (has_signature(foreign[i].sign, p, n))
            name = foreign[i].name;
    if (name)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "format %s is not supported; PNG, JPEG and WebP are", name);
    return qw_fail(err, QWREN_E_FORMAT, "not a picture that is known here (%zu bytes): PNG, JPEG and WebP are supported", n);
}

static qwren_status find_codec(const codec **out, const uint8_t *p, size_t n, qwren_error *err)
{
    if (n == 0)
        return qw_fail(err, QWREN_E_FORMAT, "the picture is empty (0 bytes)");
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        const codec *c = &codecs[i];
        if (!has_signature(c->sign, p, n))
            continue;
        if (!c->size)
            return qw_fail(err, QWREN_E_UNSUPPORTED, "this build has no %s reader; build qwren with -D%s=ON", c->name, c->option);
        *out = c;
        return QWREN_OK;
    }
    return fail_foreign(p, n, err);
}

/* Format, header, limits; *info holds the picture as stored, before it is turned. */
static qwren_status read_header(const codec **c, qw_image_info *info, const uint8_t *p, size_t n, const qwren_image_limits *limits,
                                qwren_error *err)
{
    *info = (qw_image_info){ .orientation = 1 };
    if (n > limits->max_file_bytes)
        return qw_fail(err, QWREN_E_LIMIT, "the picture has %zu bytes; the limit is %" PRIu64, n, limits->max_file_bytes);
    QW_TRY(find_codec(c, p, n, err));
    info->kind = (*c)->kind;
    QW_TRY((*c)->size(info, p, n, err));
    if ((uint64_t)info->width * (uint64_t)info->height > limits->max_pixels)
        return qw_fail(err, QWREN_E_LIMIT, "%s: %d x %d pixels; the limit is %" PRIu64 " pixels", (*c)->name, info->width, info->height,
                       limits->max_pixels);
    int small = info->width < info->height ? info->width : info->height, large = info->width < info->height ? info->height : info->width;
    if (small < 1 || large / small > QW_IMAGE_MAX_ASPECT || (large / small == QW_IMAGE_MAX_ASPECT && large % small))
        return qw_fail(err, QWREN_E_LIMIT, "%s: %d x %d pixels: one side may be %d times as long as the other at most; crop it", (*c)->name,
                       info->width, info->height, QW_IMAGE_MAX_ASPECT);
    return QWREN_OK;
}

qwren_status qw_image_size(qw_image_info *out, const void *bytes, size_t n, const qwren_image_limits *limits, qwren_error *err)
{
    const codec *c = NULL;
    qw_image_info info;
    *out = (qw_image_info){ 0 };
    QW_TRY(read_header(&c, &info, bytes, n, limits, err));
    *out = info;
    if (info.orientation >= 5) {
        out->width = info.height;
        out->height = info.width;
    }
    return QWREN_OK;
}

qwren_status qw_image_decode(qw_pixels *out, const void *bytes, size_t n, const qwren_image_limits *limits, qwren_error *err)
{
    const codec *c = NULL;
    qw_image_info info;
    *out = (qw_pixels){ 0 };
    QW_TRY(read_header(&c, &info, bytes, n, limits, err));
    QW_TRY(c->decode(out, &info, bytes, n, err));
    qwren_status st = qw_pixels_orient(out, info.orientation, err);
    if (st != QWREN_OK)
        qw_pixels_free(out);
    return st;
}
