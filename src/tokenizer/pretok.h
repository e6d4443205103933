/* Cuts text into the pieces within which merges may happen. Private to the room. */
#ifndef QW_TOKENIZER_PRETOK_H
#define QW_TOKENIZER_PRETOK_H

#include <stddef.h>

/* The regular expression that the scanner stands for, as tokenizer.json spells it. */
/* clang-format off */
#define QW_PRETOK_PATTERN                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"                \
    "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* clang-format on */

/* Bytes of the first piece of the well-formed text; len > 0. The pieces of a text take linear time together. */
size_t qw_pretok_next(const char *text, size_t len);

#endif
