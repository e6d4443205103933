/* What the reference's tokenizer knows about characters: the class that the splitter asks for, and what NFC needs. Private to the room. The
 * tables (unicode_classes.c, unicode_nfc.c) are made by tools/gen_unicode.py. */
#ifndef QW_TOKENIZER_UNICODE_H
#define QW_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QW_UNICODE_BLOCK 128

extern const uint16_t qw_unicode_block[0x110000 / QW_UNICODE_BLOCK]; /* -> index of qw_unicode_class_of */
extern const char qw_unicode_class_of[][QW_UNICODE_BLOCK + 1];

/* L letter, M mark, N number, S white space, O other; as a small letter when NFC may join the character to one before it, move it or
 * replace it. */
static inline char qw_unicode_class_nfc(uint32_t cp)
{
    return qw_unicode_class_of[qw_unicode_block[cp / QW_UNICODE_BLOCK]][cp % QW_UNICODE_BLOCK];
}
/* L, M, N, S or O. cp <= 0x10FFFF. */
static inline char qw_unicode_class(uint32_t cp) { return (char)(qw_unicode_class_nfc(cp) & ~0x20); }
/* In NFC text before such a character nothing depends on what follows, and nothing after it on what came before. */
static inline bool qw_unicode_stands_alone(uint32_t cp) { return !(qw_unicode_class_nfc(cp) & 0x20); }

/* Characters whose canonical combining class is not 0. Ascending. */
typedef struct qw_mark_range {
    uint32_t first, last;
    uint8_t combining;
} qw_mark_range;
/* Characters that decompose into two. Ascending by `whole`. */
typedef struct qw_pair {
    uint32_t whole, first, second;
} qw_pair;
/* Characters that NFC replaces by another one. Ascending by `from`. */
typedef struct qw_single {
    uint32_t from, to;
} qw_single;

extern const size_t qw_unicode_n_marks, qw_unicode_n_pairs, qw_unicode_n_singles, qw_unicode_n_built;
extern const qw_mark_range qw_unicode_marks[];
extern const qw_pair qw_unicode_pairs[];
extern const qw_single qw_unicode_singles[];
extern const uint16_t qw_unicode_built[]; /* indexes of the pairs that NFC composes, ascending by (first, second) */

#endif
