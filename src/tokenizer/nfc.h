/* Canonical composition (NFC), with the reference's Unicode version. Private to the room. */
#ifndef QW_TOKENIZER_NFC_H
#define QW_TOKENIZER_NFC_H

#include "base/buf.h"

/* Scratch memory of qw_nfc_append(), kept between calls. Begin with zeros. */
typedef struct qw_nfc_scratch {
    struct qw_nfc_char *chars, *sorted;
    size_t n, cap;
} qw_nfc_scratch;
void qw_nfc_deinit(qw_nfc_scratch *s);

/* True when every character of the well-formed text stands alone, so that NFC is the text itself. */
bool qw_nfc_is_plain(const char *text, size_t len);

/* Appends the NFC of well-formed text. Linear in len. */
qwren_status qw_nfc_append(qw_buf *out, const char *text, size_t len, qw_nfc_scratch *s, qwren_error *err);

#endif
