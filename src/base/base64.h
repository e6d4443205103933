/* Base64 (RFC 4648, both alphabets) as it stands in data: URLs. */
#ifndef QW_BASE_BASE64_H
#define QW_BASE_BASE64_H

#include "base/status.h"

/* Decodes text into fresh memory (qw_free). White space is skipped, missing padding is accepted, anything else that is not of the
 * alphabet is QWREN_E_FORMAT naming its offset. `where` names the source in the message. */
qwren_status qw_base64_decode(const char *text, size_t len, const char *where, uint8_t **out, size_t *n_out, qwren_error *err);

#endif
