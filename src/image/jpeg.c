/* JPEG -> RGB with libjpeg-turbo in its defaults (accurate integer IDCT, smooth upsampling), which give the reference's bytes: grey, YCbCr,
 * RGB, CMYK and YCCK, baseline and progressive. A file that ends early is refused instead of filled up with grey. The library reports
 * errors by longjmp; all state lives in one struct so that nothing is lost on the way. Tested by tests/golden/test_image_decode.c,
 * test_image_hostile.c. */
#include "image/codec.h"

#if QW_HAVE_JPEG

#  include "base/alloc.h"

#  include <setjmp.h>
#  include <stdio.h>
#  include <string.h>

#  include <jpeglib.h>
#  include <jerror.h>

#  define MAX_SCANS 100 /* real progressive files have about 10; each further scan costs a walk over the whole picture */

typedef struct reader {
    struct jpeg_decompress_struct j;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    bool too_many_scans;
    qw_pixels *out;
    uint8_t *cmyk; /* one row of width * 4; NULL unless the file has four components */
} reader;

static void leave(j_common_ptr j)
{
    reader *r = (reader *)j->client_data;
    longjmp(r->back, 1);
}

/* Warnings: bits that are missing make the picture useless, everything else is passed over as all readers do. */
static void on_message(j_common_ptr j, int level)
{
    if (level < 0 && (j->err->msg_code == JWRN_HIT_MARKER || j->err->msg_code == JWRN_JPEG_EOF))
        leave(j);
}

static void on_progress(j_common_ptr j)
{
    reader *r = (reader *)j->client_data;
    if (r->j.input_scan_number <= MAX_SCANS)
        return;
    r->too_many_scans = true;
    leave(j);
}

/* Runs one step; false when the library gave up in it. */
static bool guarded(reader *r, void (*step)(reader *))
{
    if (setjmp(r->back))
        return false;
    step(r);
    return true;
}

static void create_step(reader *r) { jpeg_create_decompress(&r->j); }
static void header_step(reader *r) { jpeg_read_header(&r->j, TRUE); }

static qwren_status fail_jpeg(reader *r, qwren_error *err)
{
    char why[JMSG_LENGTH_MAX];
    if (r->too_many_scans)
        return qw_fail(err, QWREN_E_LIMIT, "JPEG: more than %d scans; save the picture anew", MAX_SCANS);
    r->errors.format_message((j_common_ptr)&r->j, why);
    switch (r->errors.msg_code) {
    case JERR_OUT_OF_MEMORY: return qw_fail(err, QWREN_E_MEMORY, "not enough memory to read a JPEG picture");
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL: return qw_fail(err, QWREN_E_UNSUPPORTED, "JPEG: this kind is not supported (%s)", why);
    default: return qw_fail(err, QWREN_E_FORMAT, "JPEG: the file is damaged or cut off (%s)", why);
    }
}

/* Up to the end of the header. To be closed in any case. */
static qwren_status reader_open(reader *r, const uint8_t *p, size_t n, qwren_error *err)
{
    *r = (reader){ .progress = { .progress_monitor = on_progress } };
    r->j.err = jpeg_std_error(&r->errors);
    r->j.client_data = r;
    r->errors.error_exit = leave;
    r->errors.emit_message = on_message;
    if (!guarded(r, create_step))
        return fail_jpeg(r, err);
    r->j.progress = &r->progress;
    jpeg_mem_src(&r->j, p, n);
    return guarded(r, header_step) ? QWREN_OK : fail_jpeg(r, err);
}

static void reader_close(reader *r)
{
    jpeg_destroy_decompress(&r->j);
    qw_free(r->cmyk);
}

/* ---- header */

/* The orientation of the first Exif block. Segments are FF, marker, length (which counts itself), data; the pixels begin after SOS (FF
 * DA). */
static int find_orientation(const uint8_t *p, size_t n)
{
    size_t at = 2;
    while (n - at >= 4 && p[at] == 0xff) {
        size_t length = (size_t)p[at + 2] << 8 | p[at + 3];
        if (p[at + 1] == 0xff) { /* fill byte */
            at++;
            continue;
        }
        if (p[at + 1] == 0xda || length < 2 || length > n - at - 2)
            break;
        if (p[at + 1] == 0xe1 && length >= 8 && memcmp(p + at + 4, "Exif\0\0", 6) == 0)
            return qw_exif_orientation(p + at + 4, length - 2);
        at += 2 + length;
    }
    return 1;
}

qwren_status qw_jpeg_size(qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err)
{
    reader r;
    qwren_status st = reader_open(&r, p, n, err);
    if (st == QWREN_OK) {
        info->width = (int)r.j.image_width; /* 1..65500, the library sees to it */
        info->height = (int)r.j.image_height;
        info->orientation = find_orientation(p, n);
    }
    reader_close(&r);
    return st;
}

/* ---- pixels */

/* x / 255, rounded, for a product of two bytes. */
static unsigned div255(unsigned x) { return (((x + 128) >> 8) + x + 128) >> 8; }

/* Four-component files hold 255 - ink, as Adobe writes them. Files without Adobe's marker are read the same way: so do the reference and
 * the browsers. */
static void cmyk_row(uint8_t *rgb, const uint8_t *cmyk, int width)
{
    for (size_t x = 0; x < (size_t)width; x++)
        for (size_t c = 0; c < 3; c++) {
            unsigned white = cmyk[x * 4 + 3], ink = 255u - cmyk[x * 4 + c];
            rgb[x * 3 + c] = (uint8_t)(white - div255(ink * white));
        }
}

static void pixels_step(reader *r)
{
    jpeg_start_decompress(&r->j);
    while (r->j.output_scanline < r->j.output_height) {
        uint8_t *rgb = r->out->rgb + (size_t)r->j.output_scanline * (size_t)r->out->width * 3;
        JSAMPROW row = r->cmyk ? r->cmyk : rgb;
        jpeg_read_scanlines(&r->j, &row, 1);
        if (r->cmyk)
            cmyk_row(rgb, r->cmyk, r->out->width);
    }
    jpeg_finish_decompress(&r->j);
}

static qwren_status decode_into(qw_pixels *out, reader *r, qwren_error *err)
{
    r->out = out;
    r->j.out_color_space = r->j.num_components == 4 ? JCS_CMYK : JCS_RGB;
    if (r->j.num_components == 4 && !(r->cmyk = qw_alloc_array((size_t)out->width, 4)))
        return qw_fail_memory(err, (size_t)out->width * 4, "a row of a picture");
    return guarded(r, pixels_step) ? QWREN_OK : fail_jpeg(r, err);
}

qwren_status qw_jpeg_decode(qw_pixels *out, const qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err)
{
    reader r;
    qwren_status st = reader_open(&r, p, n, err);
    if (st == QWREN_OK)
        st = qw_pixels_alloc(out, info->width, info->height, err);
    if (st == QWREN_OK)
        st = decode_into(out, &r, err);
    if (st != QWREN_OK)
        qw_pixels_free(out);
    reader_close(&r);
    return st;
}

#endif
