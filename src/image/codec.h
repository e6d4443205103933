/* What the readers of single formats offer to decode.c, and what they share. Private to src/image. */
#ifndef QW_IMAGE_CODEC_H
#define QW_IMAGE_CODEC_H

#include "image/image.h"

/* Each reader has two functions, called only with bytes that begin with its signature:
 *   size    width, height and orientation as the file says, without decoding; both sides are positive afterwards
 *   decode  pixels as stored, not yet turned; `info` is what size gave, already checked against the limits. *out is zeroed on
 *           failure. */
typedef qwren_status (*qw_codec_size_fn)(qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);
typedef qwren_status (*qw_codec_decode_fn)(qw_pixels *out, const qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);

qwren_status qw_png_size(qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);
qwren_status qw_png_decode(qw_pixels *out, const qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);
qwren_status qw_jpeg_size(qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);
qwren_status qw_jpeg_decode(qw_pixels *out, const qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);
qwren_status qw_webp_size(qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);
qwren_status qw_webp_decode(qw_pixels *out, const qw_image_info *info, const uint8_t *p, size_t n, qwren_error *err);

#define QW_EXIF_MAX_BYTES 65536 /* larger blocks are not looked at */

/* The orientation tag (1..8) of an Exif block, with or without "Exif\0\0" before it; 1 when there is none or the block is damaged. */
int qw_exif_orientation(const uint8_t *p, size_t n);

/* Turns and mirrors as the EXIF orientation says; 1 does nothing. On failure *p is unchanged. */
qwren_status qw_pixels_orient(qw_pixels *p, int orientation, qwren_error *err);

/* One colour value over white: round((a*c + (255-a)*255) / 255), halves upwards. */
static inline uint8_t qw_over_white(unsigned c, unsigned a) { return (uint8_t)((2 * (a * c + (255 - a) * 255) + 255) / 510); }

static inline uint32_t qw_be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

#endif
