/* The orientation tag of an Exif block: a TIFF header and its first directory (TIFF 6.0 section 2, Exif 2.3 section 4.6). JPEG carries the
 * block in APP1, PNG in eXIf, WebP in EXIF. Nothing else is read, no offset is followed twice, and whatever does not fit means "as stored".
 * Tested by tests/unit/test_image_exif.c. */
#include "image/codec.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define ENTRY_BYTES 12 /* tag 2, type 2, count 4, value or offset 4 */

typedef struct tiff {
    const uint8_t *p;
    size_t n;
    bool big_endian;
} tiff;

/* Numbers at `at`; the caller has checked that they lie inside. */
static unsigned u16(const tiff *t, size_t at)
{
    const uint8_t *p = t->p + at;
    return t->big_endian ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
}

static uint32_t u32(const tiff *t, size_t at)
{
    return t->big_endian ? (uint32_t)u16(t, at) << 16 | u16(t, at + 2) : (uint32_t)u16(t, at + 2) << 16 | u16(t, at);
}

static bool tiff_header(tiff *t, const uint8_t *p, size_t n)
{
    if (n >= 6 && memcmp(p, "Exif\0\0", 6) == 0) {
        p += 6;
        n -= 6;
    }
    if (n < 8 || n > QW_EXIF_MAX_BYTES || (memcmp(p, "II", 2) != 0 && memcmp(p, "MM", 2) != 0))
        return false;
    *t = (tiff){ .p = p, .n = n, .big_endian = p[0] == 'M' };
    return u16(t, 2) == 42;
}

/* One value of type BYTE, SHORT or LONG; 0 for anything else. */
static uint32_t entry_value(const tiff *t, size_t at)
{
    if (u32(t, at + 4) != 1)
        return 0;
    switch (u16(t, at + 2)) {
    case 1: return t->p[at + 8];
    case 3: return u16(t, at + 8);
    case 4: return u32(t, at + 8);
    default: return 0;
    }
}

int qw_exif_orientation(const uint8_t *p, size_t n)
{
    tiff t;
    if (!tiff_header(&t, p, n))
        return 1;
    size_t at = u32(&t, 4);
    if (at > t.n - 2)
        return 1;
    size_t entries = u16(&t, at);
    at += 2;
    for (size_t i = 0; i < entries && t.n - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        if (u16(&t, at) != TAG_ORIENTATION)
            continue;
        uint32_t value = entry_value(&t, at);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
