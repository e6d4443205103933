/* What the sessions of a model share: a prefix cache for each type of keys and values, made when the first session asks for it, and the
 * folder where it is kept between runs. Private to src/api. */
#ifndef QW_API_CACHES_H
#define QW_API_CACHES_H

#include "model/model.h"
#include "runtime/prefix_disk.h"

typedef struct qw_caches qw_caches;

typedef struct qw_caches_options {
    size_t bytes;       /* what each may hold; 0 = a quarter of the memory that is free now, at most 1 GB */
    const char *dir;    /* NULL: no folder */
    uint64_t dir_bytes; /* 0 = QW_PREFIX_DISK_BYTES */
    const char *name;   /* of the model, for people */
} qw_caches_options;

/* Makes the folder. Free with qw_caches_free(), after all sessions. */
qwren_status qw_caches_create(qw_caches **out, const qw_caches_options *opt, qwren_error *err);
void qw_caches_free(qw_caches *c); /* NULL is allowed */
/* The cache for this type, and its place on disk (NULL without a folder; disk may be NULL); by any thread. */
qwren_status qw_caches_of(qw_caches *c, const qw_model *m, qw_kv_type type, qw_prefix **prefix, qw_prefix_disk **disk, qwren_error *err);
/* The head of files of this model and type, but for their kind; by any thread. */
qwren_status qw_caches_head(qw_caches *c, const qw_model *m, qw_kv_type type, qw_store_head *out, qwren_error *err);

#endif
