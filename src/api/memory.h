/* Whether a session fits into this machine's memory, told before it is made. Private to src/api. */
#ifndef QW_API_MEMORY_H
#define QW_API_MEMORY_H

#include "api/model.h"

/* E_MEMORY when a session with these options (of n_ctx tokens, all of them there), what guesses ahead for it, and the weights need more
 * than `available` bytes (QW_NOT_KNOWN: not asked), with what would fit instead: a shorter context, other types of keys and values.
 * E_LIMIT when the model does not take so many positions, with what would make it. */
qwren_status qw_memory_check(const qwren_model *m, const qwren_session_options *opt, uint64_t available, qwren_error *err);

#endif
