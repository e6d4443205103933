/* What the sessions of a model share: a prefix cache for each type of keys and values, made when the first session asks for it. Private to src/api. */
#ifndef QW_API_CACHES_H
#define QW_API_CACHES_H

#include "model/model.h"
#include "runtime/prefix.h"

typedef struct qw_caches qw_caches;

/* bytes: what each may hold; 0 = a quarter of the memory that is free now, at most 1 GB. Free with qw_caches_free(), after all sessions. */
qwren_status qw_caches_create(qw_caches **out, size_t bytes, qwren_error *err);
void qw_caches_free(qw_caches *c); /* NULL is allowed */
/* The one for caches of this type; by any thread. */
qwren_status qw_caches_of(qw_caches *c, const qw_model *m, qw_kv_type type, qw_prefix **out, qwren_error *err);

#endif
