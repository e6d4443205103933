/* WebP -> RGB with libwebp: lossy and lossless, alpha laid on white, the first frame of an animation on its canvas, the EXIF chunk. Tested
 * by tests/golden/test_image_decode.c, test_image_hostile.c. */
#include "image/codec.h"

#if QW_HAVE_WEBP

#  include "base/alloc.h"

#  include <string.h>
#  include <webp/decode.h>
#  include <webp/demux.h>

static qwren_status open_demuxer(WebPDemuxer **out, const uint8_t *p, size_t n, qwren_error *err)
{
    *out = WebPDemux(&(WebPData){ .bytes = p, .size = n });
    return *out ? QWREN_OK : qw_fail(err, QWREN_E_FORMAT, "WebP: the file is damaged or cut off (its chunks do not fit together)");
}

static int find_orientation(WebPDemuxer *d)
{
    WebPChunkIterator it;
    int orientation = 1;
    if (WebPDemuxGetChunk(d, "EXIF", 1, &it))
        orientation = qw_exif_orientation(it.chunk.bytes, it.chunk.size);
    WebPDemuxReleaseChunkIterator(&it);
    return orientation;
}

qwren_status qw_webp_size(qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err)
{
    WebPDemuxer *d;
    QW_TRY(open_demuxer(&d, p, n, err));
    uint32_t width = WebPDemuxGetI(d, WEBP_FF_CANVAS_WIDTH), height = WebPDemuxGetI(d, WEBP_FF_CANVAS_HEIGHT);
    info->orientation = find_orientation(d);
    WebPDemuxDelete(d);
    if (width == 0 || height == 0 || width > 1u << 24 || height > 1u << 24)
        return qw_fail(err, QWREN_E_FORMAT, "WebP: a picture of %u x %u pixels cannot be", width, height);
    info->width = (int)width;
    info->height = (int)height;
    return QWREN_OK;
}

/* One frame into memory of `size` bytes whose rows lie `stride` apart. */
static qwren_status decode_frame(const WebPIterator *it, WEBP_CSP_MODE mode, uint8_t *to, size_t size, int stride, qwren_error *err)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return qw_fail(err, QWREN_E_UNSUPPORTED, "the installed libwebp does not fit the one qwren was built with");
    config.output.colorspace = mode;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = to;
    config.output.u.RGBA.size = size;
    config.output.u.RGBA.stride = stride;
    VP8StatusCode code = WebPDecode(it->fragment.bytes, it->fragment.size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return qw_fail(err, QWREN_E_MEMORY, "not enough memory to read a WebP picture");
    return code ? qw_fail(err, QWREN_E_FORMAT, "WebP: the pixel data is damaged or cut off (status %d)", code) : QWREN_OK;
}

/* A frame with alpha: decoded beside, then laid on white. `rgb` is its first pixel on the canvas. */
static qwren_status decode_alpha(uint8_t *rgb, size_t stride, const WebPIterator *it, qwren_error *err)
{
    size_t width = (size_t)it->width, height = (size_t)it->height, n = 0;
    uint8_t *rgba = qw_mul_size(width, height, &n) ? qw_alloc_array(n, 4) : NULL;
    if (!rgba)
        return qw_fail_memory(err, n, "a picture with transparency");
    qwren_status st = decode_frame(it, MODE_RGBA, rgba, n * 4, (int)width * 4, err);
    for (size_t y = 0; y < height && st == QWREN_OK; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < 3; c++)
                rgb[y * stride + x * 3 + c] = qw_over_white(rgba[(y * width + x) * 4 + c], rgba[(y * width + x) * 4 + 3]);
    qw_free(rgba);
    return st;
}

/* The first frame may cover a part of the canvas only. What it leaves free is transparent, thus white; in files that declare no
 * transparency it is black, as in the reference. */
static qwren_status draw_first_frame(qw_pixels *canvas, WebPDemuxer *d, const WebPIterator *it, qwren_error *err)
{
    bool alpha = (WebPDemuxGetI(d, WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG) != 0;
    size_t stride = (size_t)canvas->width * 3, size = stride * (size_t)canvas->height;
    if (it->width <= 0 || it->height <= 0 || it->x_offset < 0 || it->y_offset < 0 || it->width > canvas->width - it->x_offset ||
        it->height > canvas->height - it->y_offset)
        return qw_fail(err, QWREN_E_FORMAT, "WebP: the first frame lies outside of the picture");
    size_t at = (size_t)it->y_offset * stride + (size_t)it->x_offset * 3;
    if (it->width < canvas->width || it->height < canvas->height)
        memset(canvas->rgb, alpha ? 255 : 0, size);
    return alpha ? decode_alpha(canvas->rgb + at, stride, it, err)
                 : decode_frame(it, MODE_RGB, canvas->rgb + at, size - at, (int)stride, err);
}

qwren_status qw_webp_decode(qw_pixels *out, const qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err)
{
    WebPDemuxer *d;
    WebPIterator it = { 0 };
    QW_TRY(open_demuxer(&d, p, n, err));
    qwren_status st = WebPDemuxGetFrame(d, 1, &it) ? QWREN_OK : qw_fail(err, QWREN_E_FORMAT, "WebP: the file holds no frame");
    if (st == QWREN_OK)
        st = qw_pixels_alloc(out, info->width, info->height, err);
    if (st == QWREN_OK)
        st = draw_first_frame(out, d, &it, err);
    if (st != QWREN_OK)
        qw_pixels_free(out);
    WebPDemuxReleaseIterator(&it);
    WebPDemuxDelete(d);
    return st;
}

#endif
