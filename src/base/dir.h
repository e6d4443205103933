/* Folders: what is in one, making one, and having it on the disk. */
#ifndef QW_BASE_DIR_H
#define QW_BASE_DIR_H

#include "base/status.h"

typedef struct qw_names {
    char **at;
    size_t n;
} qw_names;

/* The names in a folder for which wanted() is true (NULL: all), sorted by their bytes; never "." and "..". Free with qw_names_deinit(),
 * after a failure too. */
qwren_status qw_dir_list(qw_names *out, const char *path, bool (*wanted)(const char *name), qwren_error *err);
void qw_names_deinit(qw_names *names); /* safe on zeros */

qwren_status qw_dir_make(const char *path, qwren_error *err); /* it may be there */
qwren_status qw_dir_sync(const char *path, qwren_error *err); /* names that were made, moved or removed in it survive a power cut */

/* Asks the system to drop what it keeps in memory of a file, or of the files in a folder, not below. A wish: what somebody has mapped
 * stays. */
void qw_dir_forget(const char *path);

#endif
