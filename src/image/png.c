/* PNG -> RGB with libspng: all depths and colour types, Adam7, tRNS and alpha laid on white, the high byte of 16-bit samples, eXIf. Only
 * the chunks that make the picture reach the library (IHDR, PLTE, tRNS, IDAT, IEND and critical ones it must refuse); profiles, texts and
 * animation frames are stepped over unread, so that nothing hostile in them is ever inflated. Tested by tests/golden/test_image_decode.c,
 * test_image_hostile.c. */
#include "image/codec.h"

#if QW_HAVE_PNG

#  include "base/alloc.h"

#  include <spng.h>
#  include <string.h>

#  define SIGNATURE_BYTES 8
#  define CHUNK_FRAME 12 /* length 4, type 4, CRC 4 */

typedef struct chunk {
    const uint8_t *at, *data; /* the whole chunk; what it carries */
    uint32_t length;          /* of data */
} chunk;

static bool is_type(const chunk *c, const char *type) { return memcmp(c->at + 4, type, 4) == 0; }

/* The chunk at offset `at`; its length must lie within the file. */
static qwren_status read_chunk(chunk *c, const uint8_t *p, size_t n, size_t at, qwren_error *err)
{
    if (n - at < CHUNK_FRAME)
        return qw_fail(err, QWREN_E_FORMAT, "PNG: the file is cut off at byte %zu, before its end mark", n);
    *c = (chunk){ .at = p + at, .data = p + at + 8, .length = qw_be32(p + at) };
    if (c->length > n - at - CHUNK_FRAME)
        return qw_fail(err, QWREN_E_FORMAT, "PNG: a chunk at byte %zu claims %u bytes, %zu are left: the file is cut off or damaged", at,
                       c->length, n - at - CHUNK_FRAME);
    return QWREN_OK;
}

/* CRC-32 of type and data (PNG annex D), bit by bit: only for eXIf, which libspng does not see. */
static bool crc_is_right(const chunk *c)
{
    uint32_t crc = 0xffffffffu;
    for (const uint8_t *p = c->at + 4, *end = c->data + c->length; p < end; p++) {
        crc ^= *p;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return (crc ^ 0xffffffffu) == qw_be32(c->data + c->length);
}

static qwren_status read_ihdr(qw_image_info *info, const chunk *c, qwren_error *err)
{
    if (!is_type(c, "IHDR") || c->length != 13)
        return qw_fail(err, QWREN_E_FORMAT, "PNG: the file does not begin with an IHDR chunk of 13 bytes");
    uint32_t width = qw_be32(c->data), height = qw_be32(c->data + 4);
    if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
        return qw_fail(err, QWREN_E_FORMAT, "PNG: a picture of %u x %u pixels cannot be", width, height);
    info->width = (int)width;
    info->height = (int)height;
    return QWREN_OK;
}

/* Walks over all chunks up to IEND: size, orientation and the bytes of pixel data. */
static qwren_status scan(qw_image_info *info, size_t *idat_bytes, const uint8_t *p, size_t n, qwren_error *err)
{
    chunk c = { 0 };
    size_t at = SIGNATURE_BYTES;
    bool exif_seen = false;
    *idat_bytes = 0;
    QW_TRY(read_chunk(&c, p, n, at, err));
    QW_TRY(read_ihdr(info, &c, err));
    while (!is_type(&c, "IEND")) {
        at += CHUNK_FRAME + (size_t)c.length;
        QW_TRY(read_chunk(&c, p, n, at, err));
        if (is_type(&c, "IDAT"))
            *idat_bytes += c.length;
        if (!is_type(&c, "eXIf") || c.length > QW_EXIF_MAX_BYTES || exif_seen)
            continue;
        exif_seen = true;
        if (!crc_is_right(&c))
            return qw_fail(err, QWREN_E_FORMAT, "PNG: the checksum of the eXIf chunk at byte %zu is wrong: the file is damaged", at);
        info->orientation = qw_exif_orientation(c.data, c.length);
    }
    return QWREN_OK;
}

qwren_status qw_png_size(qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err)
{
    size_t idat_bytes;
    return scan(info, &idat_bytes, p, n, err);
}

/* ---- the bytes that libspng sees */

typedef struct source {
    const uint8_t *p;     /* the file, which scan() has found whole */
    size_t next;          /* offset of the next chunk */
    const uint8_t *piece; /* what is left of the signature or of a chunk */
    size_t piece_bytes;
    bool ended; /* the piece is IEND */
} source;

static bool is_wanted(const chunk *c) { return !(c->at[4] & 0x20) || is_type(c, "tRNS"); } /* bit 5 set: ancillary */

static void next_piece(source *s)
{
    chunk c;
    do {
        c = (chunk){ .at = s->p + s->next, .length = qw_be32(s->p + s->next) };
        s->next += CHUNK_FRAME + (size_t)c.length;
    } while (!is_wanted(&c)); /* IEND is, at the latest */
    s->piece = c.at;
    s->piece_bytes = CHUNK_FRAME + (size_t)c.length;
    s->ended = is_type(&c, "IEND");
}

static int read_source(spng_ctx *ctx, void *user, void *to, size_t length)
{
    source *s = user;
    uint8_t *out = to;
    (void)ctx;
    while (length > 0) {
        if (s->piece_bytes == 0 && s->ended)
            return SPNG_IO_EOF;
        if (s->piece_bytes == 0)
            next_piece(s);
        size_t n = length < s->piece_bytes ? length : s->piece_bytes;
        memcpy(out, s->piece, n);
        out += n;
        length -= n;
        s->piece += n;
        s->piece_bytes -= n;
    }
    return 0;
}

/* ---- pixels */

/* The library's memory. It passes no context, and reports what zlib could not get as damaged data: hence the note. */
static _Thread_local bool memory_is_short;

static void *noted(void *p)
{
    memory_is_short |= !p;
    return p;
}
static void *noted_malloc(size_t n) { return noted(qw_malloc(n)); }
static void *noted_realloc(void *p, size_t n) { return noted(qw_realloc(p, n)); }
static void *noted_calloc(size_t n, size_t size) { return noted(qw_calloc(n, size)); }

static qwren_status fail_spng(qwren_error *err, int code)
{
    if (memory_is_short)
        return qw_fail(err, QWREN_E_MEMORY, "not enough memory to read a PNG picture");
    return qw_fail(err, QWREN_E_FORMAT, "PNG: the file is damaged or cut off (%s)", spng_strerror(code));
}

/* The pixels of one row that pass `pass` carries (of 7 when interlaced, PNG section 8.2), from RGBA to RGB. */
static void flatten_row(uint8_t *rgb, const uint8_t *rgba, uint32_t width, bool interlaced, int pass)
{
    static const uint8_t first[7] = { 0, 4, 0, 2, 0, 1, 0 }, step[7] = { 8, 8, 4, 4, 2, 2, 1 };
    uint32_t by = interlaced ? step[pass] : 1;
    for (uint32_t x = interlaced ? first[pass] : 0; x < width; x += by)
        for (size_t c = 0; c < 3; c++)
            rgb[(size_t)x * 3 + c] = qw_over_white(rgba[(size_t)x * 4 + c], rgba[(size_t)x * 4 + 3]);
}

/* Row by row, so that the RGBA form of a large picture never stands in memory. `row` is [width * 4]. */
static int read_rows(spng_ctx *ctx, qw_pixels *out, uint8_t *row)
{
    struct spng_ihdr ihdr;
    int code = spng_get_ihdr(ctx, &ihdr);
    if (!code)
        code = spng_decode_image(ctx, NULL, 0, SPNG_FMT_RGBA8, SPNG_DECODE_PROGRESSIVE | SPNG_DECODE_TRNS);
    while (!code) {
        struct spng_row_info info;
        code = spng_get_row_info(ctx, &info);
        if (code)
            break;
        code = spng_decode_row(ctx, row, ihdr.width * (size_t)4);
        if (!code || code == SPNG_EOI)
            flatten_row(out->rgb + (size_t)info.row_num * ihdr.width * 3, row, ihdr.width, ihdr.interlace_method != 0, info.pass);
    }
    return code == SPNG_EOI ? spng_decode_chunks(ctx) : code; /* the end of the file is checked too */
}

static qwren_status decode_into(qw_pixels *out, const uint8_t *p, qwren_error *err)
{
    struct spng_alloc alloc = { .malloc_fn = noted_malloc, .realloc_fn = noted_realloc, .calloc_fn = noted_calloc, .free_fn = qw_free };
    source s = { .p = p, .next = SIGNATURE_BYTES, .piece = p, .piece_bytes = SIGNATURE_BYTES };
    memory_is_short = false;
    uint8_t *row = noted(qw_alloc_array((size_t)out->width, 4));
    spng_ctx *ctx = spng_ctx_new2(&alloc, 0);
    int code = SPNG_EMEM;
    if (row && ctx) {
        spng_set_crc_action(ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
        code = spng_set_png_stream(ctx, read_source, &s);
        if (!code)
            code = read_rows(ctx, out, row);
    }
    spng_ctx_free(ctx);
    qw_free(row);
    return code ? fail_spng(err, code) : QWREN_OK;
}

qwren_status qw_png_decode(qw_pixels *out, const qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err)
{
    size_t idat_bytes;
    QW_TRY(scan(&(qw_image_info){ 0 }, &idat_bytes, p, n, err));
    /* Deflate shrinks to 1/1032 at best, and a pixel has a bit at least: a small file that claims a huge picture ends here. */
    if ((uint64_t)info->width * (uint64_t)info->height / 8 / 1032 > idat_bytes)
        return qw_fail(err, QWREN_E_FORMAT, "PNG: %zu bytes of pixel data cannot hold %d x %d pixels: the file is damaged", idat_bytes,
                       info->width, info->height);
    QW_TRY(qw_pixels_alloc(out, info->width, info->height, err));
    qwren_status st = decode_into(out, p, err);
    if (st != QWREN_OK)
        qw_pixels_free(out);
    return st;
}

#endif
