/* Folders as a whole: where the output may go, taking it there in one step, taking folders away. Private to convert/. */
#ifndef QW_CONVERT_PLACE_H
#define QW_CONVERT_PLACE_H

#include "base/status.h"

#define QW_JOURNAL_NAME "qwren-journal"
#define QW_RECIPE_NAME "qwren/recipe.json"

typedef struct qw_place {
    char *src, *dst;   /* without a slash at the end */
    char *parent;      /* the folder that holds dst */
    char *partial;     /* dst.partial */
    bool replaces;     /* dst is there and will be replaced */
    bool made_partial; /* partial was made by this run */
} qw_place;

/* SRC must be a folder; DST must not be there (an empty folder may; one that qwren made when `force`), nor lie in SRC or hold it; what lies
 * at DST.partial must be ours (a finished model only when `force`). Free it with qw_place_deinit(), after a failure too. */
qwren_status qw_place_check(qw_place *p, const char *src, const char *dst, bool force, qwren_error *err);
qwren_status qw_place_take(qw_place *p, qwren_error *err); /* DST.partial is there from now on */
void qw_place_deinit(qw_place *p);                         /* safe on zeros */

qwren_status qw_place_empty(const qw_place *p, qwren_error *err); /* removes all of partial but the journal */
void qw_place_drop(const qw_place *p);                            /* removes partial */

void qw_place_sweep(const qw_place *p); /* removes what a killed run was writing (file.h: NAME.tmp-PID) */

/* What partial holds goes to the disk, partial becomes dst in one step, an old dst goes away, the journal as well. */
qwren_status qw_place_finish(const qw_place *p, qwren_error *err);

#endif
