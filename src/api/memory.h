/* Whether a session fits into this machine's memory, told before it is made. Private to src/api. */
#ifndef QW_API_MEMORY_H
#define QW_API_MEMORY_H

#include "api/model.h"

/* E_MEMORY when a session of n_ctx tokens, all of them there, and the weights need more than `available` bytes (QW_NOT_KNOWN: not asked),
 * with what would fit instead: a shorter context, other types of keys and values. n_trial: rows that the session computes on trial
 * (memplan.h). E_LIMIT when the model does not take so many positions, with what would make it. */
qwren_status qw_memory_check(const qwren_model *m, size_t n_ctx, qwren_kv_type kv_type, size_t n_trial, uint64_t available,
                             qwren_error *err);

#endif
