/* Tokens, keys and values, and states as blocks of a file (store.h). Session files (saved.h) and the cache directory (prefix_disk.h) are
 * made of them. docs/session-file.md gives
 * every byte. A block's numbers (`info`) say what it holds; whether its size agrees with them is known before memory is taken. */
#ifndef QW_RUNTIME_SAVED_BLOCKS_H
#define QW_RUNTIME_SAVED_BLOCKS_H

#include "runtime/checkpoint.h"
#include "runtime/pages.h"
#include "runtime/store.h"

#define QW_SAVED_TOKENS QW_STORE_TAG('T', 'O', 'K', 'S') /* begin, end: keys of tokens [begin, end); what was known from begin on is void */
#define QW_SAVED_PLACES QW_STORE_TAG('P', 'L', 'A', 'C') /* begin, end: rotary positions (of time) of these tokens */
#define QW_SAVED_PAGES \
  QW_STORE_TAG('P', 'A', 'G', 'E') /* begin, end: keys and values of these positions, which lie in one page; begin is a multiple of 16 */
#define QW_SAVED_STATE QW_STORE_TAG('S', 'T', 'A', 'T') /* length, next_pos, kind: a checkpoint */
#define QW_SAVED_MARK QW_STORE_TAG('M', 'A', 'R', 'K')  /* tokens: what is before it belongs together, and is so long */

/* What the files of a model hold. Copied freely. */
typedef struct qw_saved_format {
    const qw_text_config *config;
    qw_page_shape pages;
} qw_saved_format;

/* The numbers of a block of all kinds but the last make sense and its size is what they say. A format of NULL: sizes that only a model
 * knows are not looked at. */
bool qw_saved_is_sound(const qw_store_block *b, const qw_saved_format *f);

/* As many checkpoints of a timeline of n tokens as are no larger than its keys and values, but at least a few: a file has no more. */
size_t qw_saved_most_states(const qw_saved_format *f, size_t n);
/* What tokens [begin, end) with all that belongs to them, n_states checkpoints and a mark take in a file. */
uint64_t qw_saved_bytes(const qw_saved_format *f, size_t begin, size_t end, size_t n_states);

/* keys of the whole timeline */
qwren_status qw_saved_put_tokens(qw_store *s, const uint64_t *keys, size_t begin, size_t end, qwren_error *err);
qwren_status qw_saved_put_places(qw_store *s, const int32_t *starts, size_t begin, size_t end, qwren_error *err);
/* As many blocks as pages are touched. `pages` of the whole timeline; begin is rounded down to a multiple of 16. */
qwren_status qw_saved_put_pages(qw_store *s, const qw_saved_format *f, qw_page *const *pages, size_t begin, size_t end, qwren_error *err);
qwren_status qw_saved_put_state(qw_store *s, const qw_checkpoint *cp, qwren_error *err);

/* Of sound blocks. E_FORMAT: the payload is damaged. */
qwren_status qw_saved_get_tokens(const qw_store *s, const qw_store_block *b, uint64_t *keys /* [end - begin] */, qwren_error *err);
qwren_status qw_saved_get_places(const qw_store *s, const qw_store_block *b, int32_t *starts /* [end - begin] */, qwren_error *err);
/* Into the page that holds these positions; the caller is its writer. */
qwren_status qw_saved_get_pages(const qw_store *s, const qw_store_block *b, const qw_saved_format *f, qw_page *page, qwren_error *err);
qwren_status qw_saved_get_state(const qw_store *s, const qw_store_block *b, const qw_saved_format *f, qw_checkpoint **out,
                                qwren_error *err);

#endif
