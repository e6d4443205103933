/* What the picture tests share: files of tests/golden/data, the hash of the oracle scripts, the published patch configuration. Header only. */
#ifndef QW_TESTS_PICTURES_H
#define QW_TESTS_PICTURES_H

#include "support/jsonl.h"

#include "image/image.h"

#if QW_HAVE_PNG && QW_HAVE_JPEG && QW_HAVE_WEBP
#  define HAVE_ALL_READERS 1
#else
#  define HAVE_ALL_READERS 0
#endif

static const qw_patch_config published = { .patch_size = 16,
                                           .merge_size = 2,
                                           .temporal_patch_size = 2,
                                           .channels = 3,
                                           .min_pixels = 65536,
                                           .max_pixels = 16777216,
                                           .mean = { 0.5, 0.5, 0.5 },
                                           .std = { 0.5, 0.5, 0.5 } };

/* A file under tests/golden/data; give back with qw_free. */
static inline char *read_data(const char *folder, const char *name, size_t *n)
{
    char path[1024], *bytes = NULL;
    qwren_error err = { 0 };
    snprintf(path, sizeof path, "%s/%s/%s", QW_TEST_DATA, folder, name);
    if (qw_file_read(path, SIZE_MAX / 2, &bytes, n, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return bytes;
}

/* FNV-1a, as 16 hexadecimal digits. */
static inline const char *hash_of(const void *data, size_t n, char text[17])
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    snprintf(text, 17, "%016llx", (unsigned long long)h);
    return text;
}

static inline void expect_pixels(const char *what, const qw_pixels *p, const char *want)
{
    char text[17];
    if (strcmp(hash_of(p->rgb, (size_t)p->width * (size_t)p->height * 3, text), want) != 0)
        fail_msg("%s: %d x %d pixels hash to %s, the reference's to %s", what, p->width, p->height, text, want);
}

static inline int case_int(const qw_json *row, const char *key) { return (int)qw_json_int(qw_json_get(row, key), -1); }

/* Decodes with the default limits; fails the test when that fails. */
static inline void decode_picture(qw_pixels *out, const char *name, const void *bytes, size_t n)
{
    qwren_image_limits limits = qwren_image_limits_default();
    qwren_error err = { 0 };
    if (qw_image_decode(out, bytes, n, &limits, &err) != QWREN_OK)
        fail_msg("%s: %s", name, err.text);
}

#endif
